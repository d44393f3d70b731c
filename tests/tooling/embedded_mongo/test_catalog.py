"""What the stores rely on of MongoDB's indexes, names and sessions, over the wire; with MONGODB_URI set asked of that server too."""

import pytest
from pymongo import WriteConcern
from pymongo.errors import DuplicateKeyError, OperationFailure

from tests.tooling.embedded_mongo.support import AnyDatabase, Records


def test_a_unique_index_over_duplicates_is_refused(records: Records) -> None:
    records.insert_many([{"a": 1}, {"a": 1}])

    with pytest.raises(DuplicateKeyError):
        records.create_index("a", unique=True)

    assert list(records.index_information()) == ["_id_"]


def test_indexes_are_listed_repeated_and_dropped(records: Records) -> None:
    records.create_index([("userId", 1), ("_id", -1)])
    records.create_index([("userId", 1), ("_id", -1)])
    records.create_index("expiresAt", expireAfterSeconds=60)

    information = records.index_information()
    records.drop_index("expiresAt_1")

    assert set(information) == {"_id_", "userId_1__id_-1", "expiresAt_1"}
    assert information["expiresAt_1"]["expireAfterSeconds"] == 60
    assert set(records.index_information()) == {"_id_", "userId_1__id_-1"}
    with pytest.raises(OperationFailure) as caught:
        records.create_index([("userId", 1), ("_id", -1)], unique=True)
    assert caught.value.code == 86


def test_collections_and_databases_come_and_go(database: AnyDatabase) -> None:
    database.create_collection("made")
    database["filled"].insert_one({})

    listed = database.list_collection_names()
    database["made"].drop()

    assert {"made", "filled"} <= set(listed)
    assert "made" not in database.list_collection_names()
    assert database.name in database.client.list_database_names()
    assert database.list_collection_names(filter={"name": "filled"}) == ["filled"]


def test_an_unknown_command_says_so(database: AnyDatabase) -> None:
    with pytest.raises(OperationFailure) as caught:
        database.command("frobnicate")

    assert caught.value.code == 59


def test_a_session_is_accepted(database: AnyDatabase, records: Records) -> None:
    with database.client.start_session() as session:
        records.insert_one({"_id": 1}, session=session)

        assert records.find_one({"_id": 1}, session=session) == {"_id": 1}


def test_an_unacknowledged_write_gets_no_answer_and_happens(records: Records) -> None:
    records.with_options(write_concern=WriteConcern(w=0)).insert_one({"_id": 1})
    records.database.command("ping")

    for _ in range(200):
        if records.find_one() is not None:
            break
    assert records.find_one() == {"_id": 1}
