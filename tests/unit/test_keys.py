from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import keys

# Lone surrogates cannot be percent-quoted, nor come out of any JSON body or token that is valid UTF-8.
user_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400)


@given(user_ids)
def test_any_user_id_stays_in_a_folder_of_its_own(user_id: str) -> None:
    key = keys.generated_image(user_id, "job-1", 3, "png")

    parts = key.split("/")
    assert parts[0] == "generated-images"
    assert parts[2:] == ["job-1", "image_3.png"]
    assert parts[1] not in ("", ".", "..")
    assert set(parts[1]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%_-~")
    assert PurePosixPath(key).is_relative_to("generated-images")
    assert len(parts[1]) <= 200


@given(user_ids, user_ids)
def test_distinct_user_ids_have_distinct_folders(one: str, other: str) -> None:
    assert (keys.user_folder(one) == keys.user_folder(other)) == (one == other)


@pytest.mark.parametrize("user_id", ["..", ".", "../other", "a/b", "/etc", "C:\\x", "a\0b", "%2E%2E", "auth0|x@example.com", "~root"])
def test_user_ids_made_to_escape_do_not(user_id: str) -> None:
    folder = keys.user_folder(user_id)

    assert folder.strip(".")
    assert not set(folder) & set("/\\.\0:|@")


def test_a_very_long_id_gets_a_short_folder_of_its_own() -> None:
    folders = {keys.user_folder("x" * 500), keys.user_folder("x" * 501), keys.user_folder("ü" * 100)}

    assert len(folders) == 3
    assert all(len(folder) <= 200 for folder in folders)


def test_where_an_upload_is_kept_cannot_be_computed() -> None:
    fresh = {keys.upload_object("user-1", "jpg") for _ in range(100)}

    assert len(fresh) == 100
    assert all(re.fullmatch(r"uploads/user-1/[A-Za-z0-9_-]{32}\.jpg", key) for key in fresh)


def test_an_upload_is_known_by_its_content() -> None:
    assert keys.uploaded_image("user-1", "ab" * 32, "jpg") == f"uploads/user-1/{'ab' * 32}.jpg"
