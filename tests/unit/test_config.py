from __future__ import annotations

from pathlib import Path

import pytest

from app.config import BadSettings, Settings, load_settings

REQUIRED = {
    "MONGODB_URI": "mongodb://app:mongo-password@db:27017/imagegw",
    "REDIS_URL": "redis://:redis-password@cache:6379/0",
    "STORAGE_URL": "s3://bucket/prefix",
    "FAL_KEY": "fal-key-id:fal-key-secret",
    "JWT_SECRET": "jwt-secret-jwt-secret-jwt-secret-",
}


def load(**env: str) -> Settings:
    return load_settings({**REQUIRED, **env})


def problems(**env: str) -> tuple[str, ...]:
    with pytest.raises(BadSettings) as refused:
        load(**env)
    return refused.value.problems


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = load()

    assert (settings.host, settings.port, settings.app_env) == ("127.0.0.1", 5000, "development")
    assert (settings.job_deadline_seconds, settings.submit_unknown_seconds) == (900, 120)
    assert (settings.polls_per_second, settings.workers) == (200, 4)
    assert (settings.allow_anonymous, settings.cors_origins, settings.registry_path) == (False, (), None)
    assert settings.fal_hosts == {"fal.run", "queue.fal.run"}
    assert not settings.is_production
    assert (settings.registration, settings.signup_tokens, settings.tokens_per_usd) == ("open", 1000, 1000)
    assert (settings.max_megapixels, settings.upload_quota_mb) == (4.2, 500)
    assert (settings.default_budget_micros, settings.global_budget_micros) == (None, None)


def test_an_empty_environment_names_every_missing_key_at_once() -> None:
    with pytest.raises(BadSettings) as refused:
        load_settings({})

    text = str(refused.value)
    assert all(f"{key}: missing" in text for key in REQUIRED)


def test_every_bad_key_is_listed_at_once() -> None:
    bad = {
        "APP_ENV": "staging",
        "PORT": "70000",
        "MONGODB_URI": "mongodb://db:27017",
        "STORAGE_URL": "ftp://somewhere",
        "S3_ENDPOINT_URL": "minio:9000",
        "PUBLIC_ASSET_URL": "cdn.example",
        "PUBLIC_URL": "ftp://gateway.example",
        "FAL_JWKS_URL": "http://rest.fal.ai/jwks.json",
        "JWT_SECRET": "short",
        "ALLOW_ANONYMOUS": "perhaps",
        "SYNC_WAIT_SECONDS": "-1",
        "JOB_DEADLINE_SECONDS": "0",
        "SUBMIT_UNKNOWN_SECONDS": "soon",
        "POLLS_PER_SECOND": "nan",
        "WORKERS": "0",
        "REGISTRATION": "perhaps",
        "SIGNUP_TOKENS": "-1",
        "TOKENS_PER_USD": "many",
        "MAX_MEGAPIXELS": "0",
        "DEFAULT_MONTHLY_BUDGET_USD": "-1",
        "GLOBAL_MONTHLY_BUDGET_USD": "1e400",
        "UPLOAD_QUOTA_MB": "-5",
        "LOG_LEVEL": "LOUD",
        "LOG_FORMAT": "xml",
    }

    found = problems(**bad)

    assert sorted(problem.partition(":")[0] for problem in found) == sorted(bad)


def test_an_empty_variable_means_the_default() -> None:
    assert load(PORT="", LOG_LEVEL=" ", PUBLIC_URL="", WORKERS="  ") == load()


def test_given_values_are_taken() -> None:
    settings = load(
        APP_ENV="production",
        REGISTRATION="closed",
        DEFAULT_MONTHLY_BUDGET_USD="2.50",
        GLOBAL_MONTHLY_BUDGET_USD="0",
        PORT="8080",
        ALLOW_ANONYMOUS="in-production",
        CORS_ORIGINS="https://a.example, https://b.example,",
        REGISTRY_PATH="models",
        ALIVE_FILE="/tmp/alive",
        WORKERS="16",
        POLLS_PER_SECOND="12.5",
        FAL_RUN_HOST="fal.example",
    )

    assert (settings.is_production, settings.port, settings.allow_anonymous, settings.workers) == (True, 8080, True, 16)
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert (settings.registration, settings.default_budget_micros, settings.global_budget_micros) == ("closed", 2_500_000, 0)
    assert (settings.registry_path, settings.alive_file, settings.polls_per_second) == (Path("models"), Path("/tmp/alive"), 12.5)
    assert settings.fal_hosts == {"fal.example", "queue.fal.example"}


def test_tokens_from_elsewhere_need_an_issuer_and_an_audience() -> None:
    jwks = "https://login.example/jwks.json"

    found = problems(JWT_JWKS_URL=jwks)

    assert len(found) == 1
    assert "JWT_ISSUER" in found[0]
    assert load(JWT_JWKS_URL=jwks, JWT_ISSUER="login", JWT_AUDIENCE="gateway").jwt_audience == "gateway"


def test_secrets_appear_neither_in_repr_nor_in_an_error() -> None:
    secrets = ("mongo-password", "redis-password", "fal-key-secret", "jwt-secret", "too-short")

    shown = repr(load()) + "".join(problems(JWT_SECRET="too-short", MONGODB_URI="mongodb://app:mongo-password@db"))

    assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    ("env", "base"),
    [
        ({}, "http://localhost:5000/files"),
        ({"HOST": "0.0.0.0", "PORT": "80"}, "http://localhost:80/files"),
        ({"HOST": "10.0.0.7"}, "http://10.0.0.7:5000/files"),
        ({"PUBLIC_URL": "https://gateway.example/"}, "https://gateway.example/files"),
        ({"PUBLIC_URL": "https://gateway.example", "PUBLIC_ASSET_URL": "https://cdn.example/x/"}, "https://cdn.example/x"),
    ],
)
def test_files_are_linked_where_they_are_reached(env: dict[str, str], base: str) -> None:
    assert load(**env).asset_base_url == base


def test_production_is_not_opened_by_a_development_setting() -> None:
    with pytest.raises(BadSettings, match="ALLOW_ANONYMOUS=in-production"):
        load(APP_ENV="production", REGISTRATION="closed", ALLOW_ANONYMOUS="true")


def test_production_does_not_start_before_it_is_said_who_may_register() -> None:
    assert [problem.partition(":")[0] for problem in problems(APP_ENV="production")] == ["REGISTRATION"]


def test_submits_are_limited_in_production_and_free_in_development() -> None:
    assert load(APP_ENV="production", REGISTRATION="open").rate_limit_submit == "600/minute"
    assert load().rate_limit_submit is None
    assert load(RATE_LIMIT_SUBMIT="5/second").rate_limit_submit == "5/second"
    assert load(APP_ENV="production", REGISTRATION="open", RATE_LIMIT_SUBMIT="off").rate_limit_submit is None


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("w=0", "w=0"),
        ("w=1", "an election"),
        ("w=2", "w=2"),
        ("W=dc1", "W=dc1"),
        ("journal=false", "journal=false"),
        ("j=false", "j=false"),
        ("fsync=true", "fsync=true"),
        ("readPreference=secondary", "readPreference=secondary"),
        ("readPreference=primaryPreferred", "primaryPreferred"),
        ("readpreferencetags=dc:ny", "readpreferencetags"),
        ("maxStalenessSeconds=120", "maxStalenessSeconds"),
        ("readConcernLevel=available", "readConcernLevel"),
        ("socketTimeoutMS=0", "socketTimeoutMS=0"),
        ("serverSelectionTimeoutMS=3600000", "serverSelectionTimeoutMS"),
        ("connectTimeoutMS=soon", "connectTimeoutMS=soon"),
        ("retryWrites", "an option"),
        ("appName=%zz", "options with a value"),
        ("w=majority&readPreference=primary&W=1", "W=1"),
    ],
)
def test_an_option_of_mongodb_that_would_lose_what_was_promised_is_refused(option: str, named: str) -> None:
    (problem,) = problems(MONGODB_URI=f"mongodb://app:mongo-password@db:27017/imagegw?{option}")

    assert problem.startswith("MONGODB_URI: ")
    assert named in problem or "option" in problem
    assert "mongo-password" not in problem


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://a:1,b:2,[::1]:3/db?replicaSet=rs0&w=majority&journal=true&readPreference=primary&readConcernLevel=local",
        "mongodb+srv://user:p%40ss@cluster0.example.mongodb.net/db?retryWrites=true&w=majority&appName=Cluster0",
        "mongodb://u:p@h:10255/db?ssl=true&replicaSet=globaldb&retrywrites=false&maxIdleTimeMS=120000&appName=@u@",
        "mongodb://u:p@h/db?tls=true&tlsCAFile=/etc/rds.pem&retryWrites=false&socketTimeoutMS=20000&maxPoolSize=50",
        "mongodb://%2Frun%2Fmongodb.sock/db",
    ],
)
def test_the_uris_of_what_is_supported_are_taken(uri: str) -> None:
    assert load(MONGODB_URI=uri).mongodb_uri == uri


@pytest.mark.parametrize(
    ("key", "address"),
    [
        *(("MONGODB_URI", uri) for uri in ("db", "mongo://db/x", "mongodb://", "mongodb:///x", "mongodb://h:x/db", "mongodb://h:70000/db")),
        *(
            ("MONGODB_URI", uri)
            for uri in ("mongodb://[::1/db", "mongodb://h,/db", "mongodb://a b/db", "mongodb://h/a b", "mongodb://h/a.b")
        ),
        *(("MONGODB_URI", uri) for uri in ("mongodb://u:p/secret@h/db", "mongodb://u:se@cret@h/db", "mongodb://u:%secret@h/db")),
        *(
            ("REDIS_URL", url)
            for url in ("cache:6379", "http://cache", "redis://", "redis://h:port/0", "redis://[::1", "redis://h:99999/0")
        ),
        *(
            ("REDIS_URL", url)
            for url in ("redis://h/zero", "redis://h:6379/0?db=one", "unix://", "redis://:se%cret@h/0", "redis://:a/secret@h")
        ),
        *(("STORAGE_URL", url) for url in ("bucket", "s3:", "s3://", "s3://a", "s3://Under_Score", "s3://[bucket", "file://", "file:///")),
        *(("STORAGE_URL", url) for url in ("file://folder/x", "s3://user:secret@bucket", "s3://bucket:99999999/x")),
        *(("STORAGE_URL", url) for url in ("s3://bucket/a?b", "s3://bucket/a#b", "file:///a#b", "s3://bucket/../b", "file:///a/./b")),
    ],
)
def test_an_address_that_is_none_is_a_bad_setting_and_its_secrets_stay_unsaid(key: str, address: str) -> None:
    found = problems(**{key: address})

    assert {problem.partition(":")[0] for problem in found} == {key}
    assert "cret" not in "".join(found)


@pytest.mark.parametrize("key", ["S3_ENDPOINT_URL", "PUBLIC_ASSET_URL", "PUBLIC_URL", "FAL_API_URL"])
@pytest.mark.parametrize("url", ["https://[::1", "https://h:port", "https://h:99999"])
def test_a_url_that_cannot_be_taken_apart_is_a_bad_setting(key: str, url: str) -> None:
    (problem,) = problems(**{key: url})

    assert problem.startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("CORS_ORIGINS", text)
            for text in ("http://[", "https://a:99999", "https://u:p@a.example", "https://a.example#x", "https://ä.example")
        ),
        *((key, "2.5") for key in ("PORT", "WORKERS", "BATCH_IN_FLIGHT", "SIGNUP_TOKENS", "TOKENS_PER_USD")),
        *((key, "id:secr\u2026") for key in ("FAL_KEY", "FAL_ADMIN_KEY")),
        *(
            (key, text)
            for key in ("FAL_RUN_HOST", "FAL_QUEUE_RUN_HOST")
            for text in ("https://fal.run", "fal run", "fal.run:", "a@fal.run")
        ),
    ],
)
def test_what_could_only_fail_later_is_a_bad_setting_at_the_start(key: str, value: str) -> None:
    (problem,) = problems(**{key: value})

    assert problem.startswith(f"{key}: ")
    assert "secr" not in problem


@pytest.mark.parametrize("host", ["fal.run", "localhost:8443", "[::1]:8443", "gateway.example.com/fal/queue"])
def test_fals_host_may_have_a_port_and_a_path(host: str) -> None:
    assert host in load(FAL_RUN_HOST=host, FAL_QUEUE_RUN_HOST=host).fal_hosts


def test_trusted_proxies_are_networks() -> None:
    assert [str(network) for network in load(TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.7").trusted_proxies] == ["10.0.0.0/8", "192.0.2.7/32"]
    with pytest.raises(BadSettings, match="TRUSTED_PROXIES"):
        load(TRUSTED_PROXIES="10.0.0.1/8")


def test_workers_and_the_watcher_do_without_what_is_about_callers() -> None:
    env = {name: value for name, value in REQUIRED.items() if name != "JWT_SECRET"} | {"APP_ENV": "production"}

    assert load_settings(env, for_web=False).jwt_secret == ""
    with pytest.raises(BadSettings, match="JWT_SECRET"):
        load_settings(env)


def test_signing_pictures_is_refused_with_a_word() -> None:
    assert problems(PROVENANCE="c2pa") == ("PROVENANCE: c2pa, signing pictures, is not built yet; use keep or xmp",)
    assert [load(PROVENANCE=name).provenance for name in ("", "keep", "xmp")] == ["keep", "keep", "xmp"]


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "http://localhost:5000"),
        ({"PUBLIC_URL": "https://gateway.example/"}, "https://gateway.example"),
        ({"STORAGE_URL": "file:///pictures", "PUBLIC_ASSET_URL": "http://10.0.0.7:5001/files/"}, "http://10.0.0.7:5001"),
        ({"STORAGE_URL": "file:///pictures", "PUBLIC_ASSET_URL": "https://cdn.example/x"}, "http://localhost:5000"),
        ({"PUBLIC_ASSET_URL": "https://cdn.example/files"}, "http://localhost:5000"),
    ],
)
def test_links_to_pictures_lead_to_where_the_service_is_reached(env: dict[str, str], url: str) -> None:
    assert load(**env).links_url == url
