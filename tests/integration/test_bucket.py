"""What the stores that speak S3 do differently: checksums, addresses, versions, credentials that end."""

from __future__ import annotations

import io
import logging
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from botocore.client import Config

from app.clients import bucket as bucket_module
from app.clients.bucket import LINK_LIFETIME_S, S3Storage
from app.clients.storage import open_storage
from app.config import BadSettings, Settings
from app.domain.errors import NotFound, StorageUnavailable
from tests.support.fal_place import FalPlace
from tests.support.strict_bucket import StrictBucket, strict_bucket

KEY = "generated-images/a user/job-1/image_0.png"


@pytest.fixture(scope="module")
def server(fal_place: FalPlace) -> Iterator[StrictBucket]:
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    patch.setenv("AWS_CA_BUNDLE", str(fal_place.bundle))
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"):
        patch.delenv(name, raising=False)
    try:
        with strict_bucket(fal_place.tls_dir) as strict:
            client = boto3.client("s3", endpoint_url=strict.url, region_name="us-east-1")
            for name in ("plain", "versioned"):
                client.create_bucket(Bucket=name)
            client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
            client.close()
            yield strict
    finally:
        patch.undo()


@pytest.fixture
def strict(server: StrictBucket) -> StrictBucket:
    server.seen.clear()
    server.refused.clear()
    return server


@pytest.fixture(scope="module")
def storages(server: StrictBucket) -> Iterator[dict[str, S3Storage]]:
    names = ("plain", "versioned")
    opened = {name: S3Storage(name, "pre/fix", endpoint_url=server.url, public_base=None, region="us-east-1") for name in names}
    yield opened
    for storage in opened.values():
        storage._s3.close()


@pytest.fixture
def plain(storages: dict[str, S3Storage], strict: StrictBucket) -> S3Storage:
    return as_new(storages["plain"])


@pytest.fixture
def versioned(storages: dict[str, S3Storage], strict: StrictBucket) -> S3Storage:
    return as_new(storages["versioned"])


def as_new(storage: S3Storage) -> S3Storage:
    """Forget what the storage has proved and told; a client of its own for each test would take a second."""
    storage._proof_due = float("-inf")
    storage._warned.clear()
    return storage


def put(storage: S3Storage, content: bytes, key: str = KEY) -> None:
    storage.put(key, io.BytesIO(content), "image/png")


def versions(storage: S3Storage) -> list[Any]:
    found = storage._s3.list_object_versions(Bucket=storage._bucket)
    return [entry["Key"] for kind in ("Versions", "DeleteMarkers") for entry in found.get(kind, [])]


def test_over_tls_a_body_goes_out_whole_with_its_md5_and_without_a_trailer(plain: S3Storage, strict: StrictBucket) -> None:
    put(plain, b"picture")

    with plain.open(KEY) as file:
        assert file.read() == b"picture"


def test_the_store_that_proves_it_refuses_what_boto3_sends_by_itself(strict: StrictBucket) -> None:
    client = boto3.client("s3", endpoint_url=strict.url, region_name="us-east-1", config=Config(retries={"total_max_attempts": 1}))

    with pytest.raises(client.exceptions.ClientError, match="NotImplemented"):
        client.put_object(Bucket="plain", Key="k", Body=io.BytesIO(b"x"))

    client.close()


def test_a_body_that_was_read_before_is_sent_from_where_it_stands(plain: S3Storage) -> None:
    body = io.BytesIO(b"head and picture")
    body.read(9)

    plain.put(KEY, body, "image/png")

    with plain.open(KEY) as file:
        assert file.read() == b"picture"


def test_a_presigned_link_opens_over_tls(plain: S3Storage, fal_place: FalPlace) -> None:
    put(plain, b"picture")

    answer = httpx.get(plain.url(KEY), verify=ssl.create_default_context(cafile=fal_place.bundle), trust_env=False)

    assert (answer.status_code, answer.content) == (200, b"picture")
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"


def test_behind_a_public_address_caches_in_between_may_keep_a_picture(strict: StrictBucket) -> None:
    storage = S3Storage("plain", "", endpoint_url=strict.url, public_base="https://cdn.example", region="us-east-1")

    put(storage, b"picture")

    assert storage._s3.head_object(Bucket="plain", Key=KEY)["CacheControl"] == "public, max-age=31536000, immutable"
    assert storage.link_period() == ""
    storage._s3.close()


# -- addresses -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "style", "address"),
    [
        ("pics", "eu-central-1", None, "auto", "https://pics.s3.eu-central-1.amazonaws.com/k.png"),
        ("pics", "us-east-1", None, "auto", "https://pics.s3.us-east-1.amazonaws.com/k.png"),
        ("pics.example.com", "eu-central-1", None, "auto", "https://s3.eu-central-1.amazonaws.com/pics.example.com/k.png"),
        ("pics", "eu-central-1", None, "path", "https://s3.eu-central-1.amazonaws.com/pics/k.png"),
        ("pics", "cn-north-1", None, "auto", "https://pics.s3.cn-north-1.amazonaws.com.cn/k.png"),
        ("pics", "auto", "https://acc.r2.cloudflarestorage.com", "auto", "https://acc.r2.cloudflarestorage.com/pics/k.png"),
        ("pics", "fra1", "https://fra1.example.com", "virtual", "https://pics.fra1.example.com/k.png"),
    ],
)
def test_a_link_leads_to_the_buckets_own_region(
    server: StrictBucket, bucket: str, region: str, endpoint: str | None, style: str, address: str
) -> None:
    storage = S3Storage(bucket, "", endpoint_url=endpoint, public_base=None, region=region, addressing_style=style)

    link = urlsplit(storage.url("k.png"))

    assert link._replace(query="").geturl() == address
    assert f"/{region}/s3/aws4_request" in parse_qs(link.query)["X-Amz-Credential"][0]
    storage._s3.close()


def test_without_a_region_of_its_own_the_service_takes_botos(server: StrictBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")

    storage = S3Storage("pics", "", endpoint_url=None, public_base=None)

    assert "pics.s3.eu-west-3.amazonaws.com" in storage.url("k.png")
    storage._s3.close()


@pytest.mark.parametrize(("name", "value"), [("AWS_REGION", "eu central"), ("AWS_PROFILE", "nobody's")])
def test_what_boto_itself_refuses_is_a_bad_setting(server: StrictBucket, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(BadSettings, match=f"STORAGE_URL: .*{value}"):
        open_storage(Settings(storage_url="s3://pics", aws_region=os.environ.get("AWS_REGION")))


def test_a_region_that_is_not_the_buckets_makes_storage_unready(strict: StrictBucket) -> None:
    storage = S3Storage("plain", "", endpoint_url=strict.url, public_base=None, region="eu-central-1")
    storage._is_amazon = True  # Only Amazon's own address is regional.

    with pytest.raises(StorageUnavailable, match="AWS_REGION"):
        storage.ping()
    storage._s3.close()


# -- ready ---------------------------------------------------------------------------------------------------------------------------


def test_a_ping_writes_reads_and_deletes_an_object_and_the_next_one_only_looks(plain: S3Storage, strict: StrictBucket) -> None:
    plain.ping()
    first, strict.seen[:] = list(strict.seen), []
    plain.ping()

    assert [request.partition(" ")[0] for request in first][:3] == ["PUT", "GET", "DELETE"]
    assert strict.seen == ["HEAD"]
    assert not [key for key in versions(plain) if bucket_module.PROOF_FOLDER in key]


def test_the_proof_is_made_again_after_some_minutes(plain: S3Storage, strict: StrictBucket) -> None:
    plain.ping()
    strict.seen.clear()

    plain._proof_due -= bucket_module.PROVED_FOR_S + 1
    plain.ping()

    assert "PUT" in strict.seen


@pytest.mark.parametrize(("request_", "word"), [("PUT", "written"), ("GET", "read"), ("DELETE", "deleted")])
def test_a_user_who_may_not_do_one_of_the_three_makes_storage_unready_and_is_told_which(
    plain: S3Storage, strict: StrictBucket, request_: str, word: str
) -> None:
    strict.refused[request_] = 403

    for _ in range(2):
        with pytest.raises(StorageUnavailable, match=f"^Objects cannot be {word} in the storage bucket$"):
            plain.ping()
    assert strict.seen.count(request_) == 1, "a failed proof is not repeated at every look"

    strict.refused.clear()
    plain._proof_due -= bucket_module.DISPROVED_FOR_S + 1
    plain.ping()


def test_who_may_not_list_the_bucket_is_ready_all_the_same(plain: S3Storage, strict: StrictBucket) -> None:
    strict.refused["HEAD"] = 403

    plain.ping()
    plain.ping()


def test_between_proofs_a_bucket_that_does_not_answer_is_noticed(plain: S3Storage, strict: StrictBucket) -> None:
    plain.ping()
    strict.refused["HEAD"] = 501

    with pytest.raises(StorageUnavailable):
        plain.ping()


# -- deleted for good ----------------------------------------------------------------------------------------------------------------


def test_a_deleted_picture_is_gone_with_all_its_versions(versioned: S3Storage) -> None:
    for content in (b"first", b"second"):
        put(versioned, content)
    put(versioned, b"neighbour", KEY + ".other")

    versioned.delete(KEY)
    versioned.delete(KEY)

    assert versions(versioned) == [f"pre/fix/{KEY}.other"]
    versioned.delete(KEY + ".other")
    assert versions(versioned) == []


def test_a_deleted_folder_is_gone_with_all_versions_also_where_an_earlier_call_was_cut_off(versioned: S3Storage) -> None:
    for name in ("job-1/a.png", "job-1/b.png", "job-12/c.png"):
        put(versioned, b"x", name)
    versioned._s3.delete_object(Bucket="versioned", Key="pre/fix/job-1/a.png")
    versioned._s3.delete_object(Bucket="versioned", Key="pre/fix/job-1/b.png")

    versioned.delete_tree("job-1")

    assert versions(versioned) == ["pre/fix/job-12/c.png"]
    versioned.delete_tree("job-12")


def test_who_may_not_delete_versions_is_told_once_that_they_stay(
    versioned: S3Storage, strict: StrictBucket, caplog: pytest.LogCaptureFixture
) -> None:
    put(versioned, b"x", "job-2/a.png")
    strict.refused["GET versions"] = 403

    with caplog.at_level(logging.WARNING):
        versioned.delete_tree("job-2")
        versioned.delete("job-2/a.png")

    with pytest.raises(NotFound):
        versioned.open("job-2/a.png")
    assert sum("stay in the bucket as versions" in line for line in caplog.messages) == 1
    strict.refused.clear()
    versioned.delete_tree("job-2")


def test_a_store_that_knows_no_versions_deletes_as_ever_and_says_nothing(
    plain: S3Storage, strict: StrictBucket, caplog: pytest.LogCaptureFixture
) -> None:
    put(plain, b"x", "job-3/a.png")
    strict.refused["GET versions"] = 501

    plain.delete_tree("job-3")

    with pytest.raises(NotFound):
        plain.open("job-3/a.png")
    assert caplog.messages == []


def test_versions_that_cannot_be_listed_for_the_moment_are_tried_again(versioned: S3Storage, strict: StrictBucket) -> None:
    put(versioned, b"x", "job-4/a.png")
    strict.refused["GET versions"] = 500

    with pytest.raises(StorageUnavailable):
        versioned.delete_tree("job-4")

    strict.refused.clear()
    versioned.delete_tree("job-4")
    assert versions(versioned) == []


# -- credentials that end ------------------------------------------------------------------------------------------------------------


def lifetime_s(link: str) -> int:
    return int(parse_qs(urlsplit(link).query)["X-Amz-Expires"][0])


def with_temporary_credentials(patch: pytest.MonkeyPatch, strict: StrictBucket, ends: datetime | None) -> S3Storage:
    patch.setenv("AWS_SESSION_TOKEN", "session")
    if ends is not None:
        patch.setenv("AWS_CREDENTIAL_EXPIRATION", ends.isoformat())
    return S3Storage("plain", "", endpoint_url=strict.url, public_base=None, region="us-east-1")


def test_a_link_lives_a_day_with_a_key_that_does_not_end(plain: S3Storage) -> None:
    assert lifetime_s(plain.url(KEY)) == LINK_LIFETIME_S


def test_a_link_lives_no_longer_than_the_credentials_that_sign_it_and_the_log_says_so(
    strict: StrictBucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = with_temporary_credentials(monkeypatch, strict, datetime.now(UTC) + timedelta(hours=1))

    links = [storage.url(KEY) for _ in range(3)]

    assert all(3500 < lifetime_s(link) <= 3600 for link in links)
    assert sum("links end with the temporary credentials" in line for line in caplog.messages) == 1
    storage._s3.close()


def test_credentials_about_to_end_are_renewed_for_a_link_and_make_a_jobs_answer_a_new_one(
    strict: StrictBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = with_temporary_credentials(monkeypatch, strict, datetime.now(UTC) + timedelta(minutes=11))
    before = storage.link_period()
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", (datetime.now(UTC) + timedelta(hours=6)).isoformat())

    link = storage.url(KEY)

    assert lifetime_s(link) > 5 * 3600
    assert storage.link_period() != before
    storage._s3.close()


def test_a_session_token_without_an_end_is_pointed_out(
    strict: StrictBucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = with_temporary_credentials(monkeypatch, strict, None)

    storage.url(KEY)

    assert "AWS_CREDENTIAL_EXPIRATION" in caplog.text
    storage._s3.close()


def test_credentials_that_ended_are_storage_that_is_away(strict: StrictBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = with_temporary_credentials(monkeypatch, strict, datetime.now(UTC) + timedelta(minutes=1))
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", (datetime.now(UTC) - timedelta(minutes=1)).isoformat())

    for call in (lambda: storage.url(KEY), lambda: put(storage, b"x")):
        with pytest.raises(StorageUnavailable):
            call()
    storage._s3.close()
