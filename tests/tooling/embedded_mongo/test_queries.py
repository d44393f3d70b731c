"""What the stores rely on when they read from MongoDB, over the wire; with MONGODB_URI set asked of that server too."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import IndexModel

from tests.tooling.embedded_mongo.support import Records, ids

NOON = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)


DOCUMENTS: list[dict[str, Any]] = [
    {"_id": 1, "s": "apple", "n": 1, "at": NOON, "tags": ["a", "b"], "r": [{"id": "x", "state": "new"}, {"id": "y", "state": "done"}]},
    {"_id": 2, "s": "banana", "n": 2, "at": NOON + timedelta(milliseconds=1), "tags": [], "r": [{"id": "z", "state": "done"}]},
    {"_id": 3, "s": "Cherry", "n": None, "flag": True, "o": {"k": 1, "l": 2}},
    {"_id": 4, "n": 1.0, "flag": 1, "tags": "a"},
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"s": "apple"}, [1]),
        ({"_id": {"$in": [1, 3, 9]}, "n": 1}, [1]),
        ({"_id": 2, "n": 1}, []),
        ({"n": 1}, [1, 4]),
        ({"n": None}, [3]),
        ({"s": None}, [4]),
        ({"s": {"$exists": False}}, [4]),
        ({"n": {"$exists": True}}, [1, 2, 3, 4]),
        ({"flag": True}, [3]),
        ({"flag": 1}, [4]),
        ({"n": {"$ne": 1}}, [2, 3]),
        ({"s": {"$nin": ["apple", None]}}, [2, 3]),
        ({"s": {"$gt": "apple"}}, [2]),
        ({"s": {"$lt": "b"}}, [1, 3]),
        ({"n": {"$gte": 1, "$lt": 2}}, [1, 4]),
        ({"at": {"$gt": NOON}}, [2]),
        ({"at": {"$lte": NOON}}, [1]),
        ({"tags": "a"}, [1, 4]),
        ({"tags": ["a", "b"]}, [1]),
        ({"tags": {"$ne": "a"}}, [2, 3]),
        ({"r.state": "done"}, [1, 2]),
        ({"r.0.state": "done"}, [2]),
        ({"r.1.id": {"$exists": True}}, [1]),
        ({"r": {"$elemMatch": {"id": "x", "state": "done"}}}, []),
        ({"r": {"$elemMatch": {"id": "y", "state": {"$in": ["done"]}}}}, [1]),
        ({"tags": {"$elemMatch": {"$gt": "a"}}}, [1]),
        ({"o": {"k": 1, "l": 2}}, [3]),
        ({"o": {"l": 2, "k": 1}}, []),
        ({"o.k": {"$not": {"$gt": 0}}}, [1, 2, 4]),
        ({"$or": [{"s": "apple"}, {"flag": True}]}, [1, 3]),
        ({"$and": [{"n": 1}, {"tags": "b"}]}, [1]),
        ({"$nor": [{"n": 1}, {"n": 2}]}, [3]),
        ({"s": {"$regex": "^[ab]"}}, [1, 2]),
        ({"s": {"$regex": "^c", "$options": "i"}}, [3]),
    ],
)  # fmt: skip
def test_a_filter_finds_what_it_describes_with_or_without_an_index(records: Records, query: Any, found: list[int]) -> None:
    records.insert_many(DOCUMENTS)

    plain = ids(records, query)
    records.create_indexes([IndexModel(field) for field in ("s", "n", "flag", "tags", "r.state", "at", "o")])

    assert plain == found == ids(records, query)
    assert records.count_documents(query) == len(found)


def test_sorting_orders_types_missing_fields_and_several_keys(records: Records) -> None:
    values = [5, "a", None, 2.5, True, [0, 9], NOON, ObjectId(), {"a": 1}, "B", b"x"]
    records.insert_many([{"_id": i, "v": value, "g": i % 2} for i, value in enumerate(values)] + [{"_id": 99, "g": 1}])

    by_value = [d["_id"] for d in records.find(sort=[("v", 1), ("_id", 1)])]
    by_group = [d["_id"] for d in records.find({"_id": {"$lt": 5}}, sort=[("g", -1), ("_id", -1)])]

    assert by_value == [2, 99, 5, 3, 0, 9, 1, 8, 10, 7, 4, 6]
    assert by_group == [3, 1, 4, 2, 0]
    assert next(iter(records.find({"v": {"$gte": 0}}, sort=[("v", -1)])))["_id"] == 5


@pytest.mark.parametrize(
    ("projection", "shown"),
    [
        ({"a": 1}, {"_id": 1, "a": 1}),
        ({"b.c": 1, "_id": 0}, {"b": {"c": 2}}),
        ({"a": 0, "b.c": 0}, {"_id": 1, "b": {"d": 3}, "l": [{"x": 1, "y": 2}, 5]}),
        ({"l.x": 1}, {"_id": 1, "l": [{"x": 1}]}),
        ({"_id": 1}, {"_id": 1}),
        (["a"], {"_id": 1, "a": 1}),
    ],
)
def test_a_projection_shows_what_it_names(records: Records, projection: Any, shown: Any) -> None:
    records.insert_one({"_id": 1, "a": 1, "b": {"c": 2, "d": 3}, "l": [{"x": 1, "y": 2}, 5]})

    assert records.find_one({}, projection) == shown


def test_pages_by_id_go_on_where_the_last_one_ended(records: Records) -> None:
    records.insert_many([{"_id": f"{i:03}", "userId": f"u{i % 2}"} for i in reversed(range(100))])
    records.create_index("userId")

    first = [d["_id"] for d in records.find({"userId": "u1"}).sort("_id", -1).limit(3)]
    second = [d["_id"] for d in records.find({"userId": "u1", "_id": {"$lt": first[-1]}}).sort("_id", -1).limit(3)]
    skipped = [d["_id"] for d in records.find({"_id": {"$gte": "010", "$lte": "015"}}).sort("_id", 1).skip(2).limit(2)]

    assert (first, second, skipped) == (["099", "097", "095"], ["093", "091", "089"], ["012", "013"])


def test_a_cursor_hands_out_every_document_once_in_batches(records: Records) -> None:
    records.insert_many([{"_id": i, "text": "x" * 1000} for i in range(1000)])

    found = [document["_id"] for document in records.find(batch_size=7).sort("_id", 1)]
    with records.find(batch_size=2) as cursor:
        next(cursor)
    left = list(records.find(batch_size=300).limit(700))

    assert found == list(range(1000))
    assert len(left) == 700


def test_large_results_come_in_batches_a_client_accepts(records: Records) -> None:
    records.insert_many([{"_id": i, "data": b"x" * 9_000_000} for i in range(4)])

    assert sum(len(document["data"]) for document in records.find()) == 36_000_000


def test_a_group_sums_by_user_and_type(records: Records) -> None:
    rows = [("u1", 5, True), ("u1", 7, 1), ("u2", 1, True), ("u3", None, True)]
    records.insert_many([{"userId": u, "tokens": t, "ok": ok, "at": NOON} for u, t, ok in rows])

    by_user = list(records.aggregate([
        {"$match": {"at": {"$gte": NOON}}},
        {"$group": {"_id": "$userId", "sum": {"$sum": "$tokens"}, "n": {"$sum": 1}}},
    ]))  # fmt: skip
    total = list(records.aggregate([{"$group": {"_id": None, "sum": {"$sum": "$tokens"}}}]))
    typed = list(records.aggregate([{"$group": {"_id": {"ok": "$ok"}, "n": {"$sum": 1}}}]))

    assert sorted((group["_id"], group["sum"], group["n"]) for group in by_user) == [("u1", 12, 2), ("u2", 1, 1), ("u3", 0, 1)]
    assert total == [{"_id": None, "sum": 13}]
    assert sorted(group["n"] for group in typed) == [1, 3]


def test_what_comes_out_of_a_pipeline_can_be_counted(records: Records) -> None:
    records.insert_many([{"_id": 1, "n": 2}, {"_id": 2, "n": 2}, {"_id": 3, "n": 2}])

    assert list(records.aggregate([{"$match": {"n": 2}}, {"$group": {"_id": "$n", "total": {"$sum": 1}}}])) == [{"_id": 2, "total": 3}]
    assert (records.count_documents({}, skip=1), records.count_documents({"n": 2}, limit=2)) == (2, 2)
    assert list(records.aggregate([{"$match": {"_id": 9}}, {"$group": {"_id": None, "total": {"$sum": 1}}}])) == []


def test_distinct_values_count_array_elements_and_types(records: Records) -> None:
    records.insert_many([{"v": ["a", "b"]}, {"v": "a"}, {"v": 1}, {"v": True}, {"other": 1}])

    assert sorted(map(repr, records.distinct("v"))) == ["'a'", "'b'", "1", "True"]
    assert records.distinct("v", {"v": "b"}) == ["a", "b"]
