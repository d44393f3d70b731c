"""What the embedded MongoDB cannot do it refuses by name: an answer that is silently wrong would be worse."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import IndexModel, MongoClient
from pymongo.errors import OperationFailure

from tests.tooling.embedded_mongo.support import Records


@pytest.fixture(scope="module")
def records(embedded_uri: str) -> Iterator[Records]:
    client: MongoClient[dict[str, Any]] = MongoClient(embedded_uri)
    with client:
        client.test_refusals.records.insert_one({"_id": 1, "a": [1, 2], "b": 1})
        yield client.test_refusals.records
        client.drop_database("test_refusals")


@pytest.mark.parametrize(
    ("feature", "attempt"),
    [
        ("arrayFilters", lambda r: r.update_one({}, {"$set": {"a.$[x]": 1}}, array_filters=[{"x": 1}])),
        ("aggregation pipeline", lambda r: r.update_one({}, [{"$set": {"a": 1}}])),
        ("aggregation pipeline", lambda r: r.find_one_and_update({}, [{"$set": {"a": 1}}])),
        ("positional operator", lambda r: r.update_one({"a": 1}, {"$set": {"a.$": 1}})),
        ("positional operator", lambda r: r.update_one({"a": 1}, {"$inc": {"a.$[]": 1}})),
        ("$bit", lambda r: r.update_one({}, {"$bit": {"b": {"and": 1}}})),
        ("$mul", lambda r: r.update_one({}, {"$mul": {"b": 2}})),
        ("$rename", lambda r: r.update_one({}, {"$rename": {"b": "c"}})),
        ("$pop", lambda r: r.update_one({}, {"$pop": {"a": -1}})),
        ("$addToSet", lambda r: r.update_one({}, {"$addToSet": {"a": 1}})),
        ("$pullAll", lambda r: r.update_one({}, {"$pullAll": {"a": [1]}})),
        ("$currentDate", lambda r: r.find_one_and_update({}, {"$currentDate": {"at": True}})),
        ("$position", lambda r: r.update_one({}, {"$push": {"a": {"$each": [3], "$position": 0}}})),
        ("$sort", lambda r: r.update_one({}, {"$push": {"a": {"$each": [3], "$sort": 1}}})),
        ("$size", lambda r: r.find_one({"a": {"$size": 0}})),
        ("$all", lambda r: r.find_one({"a": {"$all": [1, 2]}})),
        ("regex in $in", lambda r: r.find_one({"a": {"$in": [re.compile("x")]}})),
        ("sort", lambda r: r.update_one({}, {"$set": {"b": 2}}, sort={"b": 1})),
        ("$type", lambda r: r.find_one({"b": {"$type": "null"}})),
        ("by its name", lambda r: r.database.command("dropIndexes", "records", index={"b": 1})),
        ("$where", lambda r: r.find_one({"$where": "true"})),
        ("$expr", lambda r: r.find_one({"$expr": {"$eq": ["$a", 1]}})),
        ("$text", lambda r: r.find_one({"$text": {"$search": "x"}})),
        ("$near", lambda r: r.find_one({"a": {"$near": [1, 2]}})),
        ("$slice", lambda r: r.find_one({}, {"a": {"$slice": 1}})),
        ("a.$", lambda r: r.find_one({"a": 1}, {"a.$": 1})),
        ("collation", lambda r: r.find_one({}, collation={"locale": "en"})),
        ("$natural", lambda r: list(r.find().sort("$natural", -1))),
        ("$lookup", lambda r: list(r.aggregate([{"$lookup": {"from": "x", "as": "y", "pipeline": []}}]))),
        ("$project", lambda r: list(r.aggregate([{"$project": {"s": "$b", "n": 1}}]))),
        ("$addFields", lambda r: list(r.aggregate([{"$addFields": {"s": 1}}]))),
        ("$set", lambda r: list(r.aggregate([{"$set": {"s": 1}}]))),
        ("$sort", lambda r: list(r.aggregate([{"$sort": {"b": 1}}]))),
        ("$count", lambda r: list(r.aggregate([{"$count": "n"}]))),
        ("$unwind", lambda r: list(r.aggregate([{"$match": {"b": 1}}, {"$unwind": "$a"}]))),
        ("$replaceRoot", lambda r: list(r.aggregate([{"$replaceRoot": {"newRoot": "$a"}}]))),
        ("$out", lambda r: list(r.aggregate([{"$out": "x"}]))),
        ("$stdDevPop", lambda r: list(r.aggregate([{"$group": {"_id": None, "n": {"$stdDevPop": "$b"}}}]))),
        ("$avg", lambda r: list(r.aggregate([{"$group": {"_id": None, "n": {"$avg": "$b"}}}]))),
        ("$first", lambda r: list(r.aggregate([{"$group": {"_id": None, "n": {"$first": "$b"}}}]))),
        ("$ifNull", lambda r: list(r.aggregate([{"$group": {"_id": {"$ifNull": ["$b", 0]}}}]))),
        ("through an array", lambda r: list(r.aggregate([{"$group": {"_id": "$a.b"}}]))),
        ("$toUpper", lambda r: list(r.aggregate([{"$group": {"_id": {"$toUpper": "$b"}}}]))),
        ("text", lambda r: r.create_index([("a", "text")])),
        ("partialFilterExpression", lambda r: r.create_indexes([IndexModel("b", partialFilterExpression={"b": 1})])),
        ("capped", lambda r: r.database.create_collection("c", capped=True, size=1000)),
        ("tailable", lambda r: list(r.find(cursor_type=2))),
        ("explain", lambda r: r.find().explain()),
        ("$changeStream", lambda r: r.watch()),
    ],
)  # fmt: skip
def test_a_missing_feature_is_named_in_the_error(records: Records, feature: str, attempt: Callable[[Records], Any]) -> None:
    with pytest.raises(OperationFailure, match="not supported by the embedded server") as caught:
        attempt(records)

    assert feature in str(caught.value)
    assert caught.value.code == 115
    assert records.find_one() == {"_id": 1, "a": [1, 2], "b": 1}


def test_a_transaction_is_refused(records: Records) -> None:
    with records.database.client.start_session() as session, session.start_transaction():
        with pytest.raises(OperationFailure, match="transactions are not supported") as caught:
            records.insert_one({}, session=session)
        session.abort_transaction()

    assert caught.value.code == 20
    assert records.count_documents({}) == 1


@pytest.mark.parametrize(
    "attempt",
    [
        lambda r: r.find_one({"a": {"$foo": 1}}),
        lambda r: r.find_one({"$or": []}),
        lambda r: r.find_one({"a": {"$in": 1}}),
        lambda r: r.find_one({"b": {"$regex": "("}}),
        lambda r: r.find_one({}, {"a": 1, "b": 0}),
        lambda r: r.database.command("find", "records", filter=5),
        lambda r: r.database.command("find", "records", limit=-1),
        lambda r: r.database.command("find", "records", nonsense=1),
        lambda r: r.database.command("insert", "records", documents=[]),
        lambda r: r.database.command("insert", 5, documents=[{}]),
        lambda r: r.database.command("getMore", 77, collection="records"),
        lambda r: r.update_one({}, {"$push": {"a": {"$each": 5}}}),
        lambda r: list(r.aggregate([{"$group": {"x": 1}}])),
        lambda r: list(r.aggregate([{"$limit": "x"}])),
    ],
)
def test_a_malformed_command_fails_and_the_connection_goes_on(records: Records, attempt: Callable[[Records], Any]) -> None:
    with pytest.raises(OperationFailure) as caught:
        attempt(records)

    assert caught.value.code
    assert records.count_documents({}) == 1
