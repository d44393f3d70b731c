"""What the stores rely on when they write to MongoDB, over the wire; with MONGODB_URI set asked of that server too."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Binary, Int64, ObjectId
from pymongo import (
    ASCENDING,
    DESCENDING,
    DeleteOne,
    InsertOne,
    ReturnDocument,
    UpdateOne,
)
from pymongo.errors import BulkWriteError, DuplicateKeyError, WriteError

from tests.tooling.embedded_mongo.support import Records, ids

NOON = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)


def updated(records: Records, before: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    records.insert_one({"_id": 1, **before})
    after = records.find_one_and_update({"_id": 1}, update, return_document=ReturnDocument.AFTER)
    assert after is not None
    assert after == records.find_one({"_id": 1})
    del after["_id"]
    return after


def in_20_threads(action: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(action, range(20)))


def test_every_kind_of_value_comes_back_as_it_was_sent(records: Records) -> None:
    document = {
        "_id": ObjectId(), "int": 5, "long": Int64(5), "big": 2**62, "float": 1.5, "yes": True, "no": False,
        "none": None, "text": "größer 🎨\0", "bytes": b"\x00\xff", "uuid": Binary.from_uuid(uuid.uuid4()), "at": NOON,
        "nested": {"list": [1, [2, {"a": {}}], []], "": 1},
    }  # fmt: skip

    records.insert_one(document)
    found = records.find_one()

    assert found == document
    assert found is not None
    assert type(found["long"]) is Int64
    assert found["yes"] is True
    assert found["at"].tzinfo
    assert list(found) == list(document)


def test_a_second_document_of_the_same_id_is_refused_with_its_key(records: Records) -> None:
    records.insert_one({"_id": "a"})

    with pytest.raises(DuplicateKeyError) as caught:
        records.insert_one({"_id": "a"})

    assert caught.value.code == 11000
    assert caught.value.details is not None
    assert caught.value.details["keyPattern"] == {"_id": 1}
    assert caught.value.details["keyValue"] == {"_id": "a"}


@pytest.mark.parametrize(("ordered", "kept"), [(True, [1]), (False, [1, 2])])
def test_an_ordered_insert_stops_at_the_first_failure(records: Records, ordered: bool, kept: list[int]) -> None:
    with pytest.raises(BulkWriteError) as caught:
        records.insert_many([{"_id": 1}, {"_id": 1}, {"_id": 2}], ordered=ordered)

    assert [error["index"] for error in caught.value.details["writeErrors"]] == [1]
    assert ids(records, {}) == kept


def test_a_bulk_write_does_each_kind_of_operation(records: Records) -> None:
    result = records.bulk_write(
        [
            InsertOne({"_id": 1}),
            UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
            UpdateOne({"_id": 2}, {"$inc": {"a": 1}}, upsert=True),
            DeleteOne({"_id": 1}),
        ]
    )

    assert (result.inserted_count, result.modified_count, result.deleted_count) == (1, 1, 1)
    assert result.upserted_ids == {2: 2}
    assert ids(records, {"a": 1}) == [2]


@pytest.mark.parametrize(
    ("before", "update", "after"),
    [
        ({"a": 1}, {"$set": {"b.c": 2, "a": None}}, {"a": None, "b": {"c": 2}}),
        ({"r": [{"s": 1, "t": 1}, {"s": 1}]}, {"$set": {"r.0.s": 2}}, {"r": [{"s": 2, "t": 1}, {"s": 1}]}),
        ({"r": [1]}, {"$set": {"r.3": 4}}, {"r": [1, None, None, 4]}),
        ({"a": {"b": 1, "c": 2}}, {"$unset": {"a.b": "", "x.y": ""}}, {"a": {"c": 2}}),
        ({"a": 1}, {"$inc": {"a": -3, "b.c": 2, "d": 0.5}}, {"a": -2, "b": {"c": 2}, "d": 0.5}),
        ({"r": [{"n": 1}]}, {"$inc": {"r.0.n": 1}}, {"r": [{"n": 2}]}),
        ({"h": [1]}, {"$push": {"h": 2, "new": {"a": 1}}}, {"h": [1, 2], "new": [{"a": 1}]}),
        ({"h": [1, 2]}, {"$push": {"h": {"$each": [3, 4], "$slice": -3}}}, {"h": [2, 3, 4]}),
        ({"h": [1, {"a": 1}]}, {"$pull": {"h": 1, "none": 2}}, {"h": [{"a": 1}]}),
        ({"h": [{"a": 1, "b": 2}, {"a": 2}, 5]}, {"$pull": {"h": {"a": 1}}}, {"h": [{"a": 2}, 5]}),
        ({"h": [1, 5, 9]}, {"$pull": {"h": {"$gte": 5}}}, {"h": [1]}),
        ({"h": [1, 2]}, {"$push": {"h": {"$each": [3, 4], "$slice": 3}}}, {"h": [1, 2, 3]}),
        ({"a": 5, "b": 5}, {"$min": {"a": 3, "b": 7, "c": 1}}, {"a": 3, "b": 5, "c": 1}),
        ({"a": NOON}, {"$max": {"a": NOON - timedelta(seconds=1), "b": "x"}}, {"a": NOON, "b": "x"}),
        ({"a": 1}, {"$setOnInsert": {"a": 2}, "$set": {"b": 1}}, {"a": 1, "b": 1}),
        ({"holds": {}}, {"$set": {"holds.job-1": 5}}, {"holds": {"job-1": 5}}),
    ],
)  # fmt: skip
def test_an_update_operator_changes_what_it_names(records: Records, before: Any, update: Any, after: Any) -> None:
    assert updated(records, before, update) == after


@pytest.mark.parametrize(
    "update",
    [
        {"$set": {"a.b": 1}},
        {"$inc": {"text": 1}},
        {"$push": {"a": 1}},
        {"$set": {"_id": 2}},
        {"$set": {"b": 1, "b.c": 2}},
        {"$set": {"b": 1}, "$inc": {"b": 1}},
        {"$nonsense": {"a": 1}},
    ],
)
def test_an_update_that_makes_no_sense_fails_and_changes_nothing(records: Records, update: Any) -> None:
    records.insert_one({"_id": 1, "a": 1, "text": "x"})

    with pytest.raises(WriteError):
        records.update_one({"_id": 1}, update)

    assert records.find_one() == {"_id": 1, "a": 1, "text": "x"}


def test_update_counts_tell_matched_from_modified(records: Records) -> None:
    records.insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 2}, {"_id": 3, "a": 1}])

    many = records.update_many({"_id": {"$lte": 2}}, {"$set": {"a": 2}})
    typed = records.update_one({"_id": 3}, {"$set": {"a": True}})

    assert (many.matched_count, many.modified_count, typed.modified_count) == (2, 1, 1)
    assert records.replace_one({"_id": 3}, {"z": 1}).modified_count == 1
    assert records.find_one({"_id": 3}) == {
        "_id": 3,
        "z": 1,
    }


def test_an_upsert_takes_over_what_the_filter_compares(records: Records) -> None:
    result = records.update_one(
        {"_id": "u", "a.b": 1, "n": {"$gt": 5}, "$and": [{"c": {"$eq": 2}}]},
        {"$set": {"d": 3}, "$setOnInsert": {"e": 4}},
        upsert=True,
    )

    assert result.upserted_id == "u"
    assert records.find_one() == {"_id": "u", "a": {"b": 1}, "c": 2, "d": 3, "e": 4}


def test_an_upsert_without_an_id_gets_one(records: Records) -> None:
    result = records.replace_one({"name": "x"}, {"name": "y"}, upsert=True)

    assert isinstance(result.upserted_id, ObjectId)
    assert records.find_one() == {"_id": result.upserted_id, "name": "y"}


def test_a_document_may_not_grow_beyond_16_megabytes(records: Records) -> None:
    records.insert_one({"_id": 1, "a": "x" * 9_000_000})

    with pytest.raises(WriteError):
        records.update_one({"_id": 1}, {"$set": {"b": "x" * 9_000_000}})

    assert records.find_one({}, {"b": 1}) == {"_id": 1}


def test_find_one_and_update_answers_before_or_after_and_obeys_the_sort(records: Records) -> None:
    records.insert_many([{"_id": 1, "p": 1, "x": 9}, {"_id": 2, "p": 2, "x": 9}])

    before = records.find_one_and_update({}, {"$inc": {"p": 10}}, sort=[("p", -1)], projection={"p": 1})
    after = records.find_one_and_replace({"_id": 1}, {"p": 5}, return_document=ReturnDocument.AFTER)
    removed = records.find_one_and_delete({"p": 5})
    none = records.find_one_and_update({"_id": 7}, {"$set": {"a": 1}})
    made = records.find_one_and_update({"_id": 7}, {"$set": {"a": 1}}, upsert=True, return_document=ReturnDocument.AFTER)

    assert (before, after, removed) == ({"_id": 2, "p": 2}, {"_id": 1, "p": 5}, {"_id": 1, "p": 5})
    assert none is None
    assert made == {"_id": 7, "a": 1}


def test_exactly_one_of_20_racing_compare_and_sets_wins(records: Records) -> None:
    records.insert_one({"_id": "job", "rev": 0, "winners": []})

    results = in_20_threads(lambda n: records.find_one_and_update({"_id": "job", "rev": 0}, {"$inc": {"rev": 1}, "$push": {"winners": n}}))

    job = records.find_one()
    assert sum(result is not None for result in results) == 1
    assert job is not None
    assert job["rev"] == 1
    assert len(job["winners"]) == 1


def test_exactly_one_of_20_racing_upserts_makes_the_document(records: Records) -> None:
    records.create_index("email", unique=True)

    def upsert(number: int) -> Any:
        try:
            return records.update_one({"email": "a@b"}, {"$setOnInsert": {"by": number}}, upsert=True).upserted_id
        except DuplicateKeyError:
            return None

    made = in_20_threads(upsert)

    assert sum(item is not None for item in made) == 1
    assert records.count_documents({}) == 1


def test_a_unique_index_guards_every_way_to_write(records: Records) -> None:
    records.create_index([("a", ASCENDING), ("b", DESCENDING)], unique=True, name="pair")
    records.insert_many([{"_id": 1, "a": 1, "b": 1}, {"_id": 2, "a": 1, "b": 2}])

    for attempt in (
        lambda: records.insert_one({"a": 1, "b": 1}),
        lambda: records.update_one({"_id": 2}, {"$set": {"b": 1}}),
        lambda: records.replace_one({"_id": 2}, {"a": 1, "b": 1}),
        lambda: records.find_one_and_update({"_id": 2}, {"$set": {"b": 1}}),
        lambda: records.find_one_and_update({"_id": 3}, {"$set": {"a": 1, "b": 1}}, upsert=True),
    ):
        with pytest.raises(DuplicateKeyError) as caught:
            attempt()
        assert caught.value.details is not None
        assert caught.value.details["keyPattern"] == {"a": 1, "b": -1}

    records.delete_one({"_id": 1})
    records.update_one({"_id": 2}, {"$set": {"b": 1}})
    records.insert_one({"a": 1, "b": 2})
    assert records.count_documents({"a": 1}) == 2


def test_deletes_take_one_or_all(records: Records) -> None:
    records.insert_many([{"_id": i, "g": i % 2} for i in range(6)])

    one, many = records.delete_one({"g": 0}).deleted_count, records.delete_many({"g": 1}).deleted_count

    assert (one, many, records.delete_one({"g": 7}).deleted_count, records.estimated_document_count()) == (
        1,
        3,
        0,
        2,
    )
