"""The files an operator meets first say what the code does: Procfile, compose, Dockerfile, `.env.example`, the scripts."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.stack.files import read_env_file, read_procfile

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [
    ".ci/run",
    "scripts/bench",
    "scripts/check",
    "scripts/demo",
    "scripts/dev",
    "scripts/imagegen",
    "scripts/lock",
    "scripts/operator",
    "scripts/pythons",
    "scripts/soak",
    "scripts/test",
    "scripts/vendor",
    "scripts/venv",
]
PROCESSES = {"web": ["-m", "app"], "worker": ["-m", "workers"], "watcher": ["-m", "workers.watcher"]}

# The names the design fixes, AWS's and fal-client's own among them.
SETTINGS = [
    "HOST",
    "PORT",
    "STUDIO",
    "MONGODB_URI",
    "REDIS_URL",
    "STORAGE_URL",
    "S3_ENDPOINT_URL",
    "S3_ADDRESSING_STYLE",
    "PUBLIC_ASSET_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "FAL_KEY",
    "FAL_RUN_HOST",
    "FAL_QUEUE_RUN_HOST",
    "FAL_JWKS_URL",
    "FAL_API_URL",
    "FAL_OPENAPI_URL",
    "FAL_ADMIN_KEY",
    "FAL_CONCURRENCY",
    "FAL_USER_ID",
    "SSL_CERT_FILE",
    "PUBLIC_URL",
    "JWT_SECRET",
    "JWT_TTL_HOURS",
    "JWT_JWKS_URL",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "ALLOW_ANONYMOUS",
    "APP_ENV",
    "REGISTRATION",
    "SIGNUP_TOKENS",
    "TOKENS_PER_USD",
    "MAX_MEGAPIXELS",
    "DEFAULT_MONTHLY_BUDGET_USD",
    "GLOBAL_MONTHLY_BUDGET_USD",
    "UPLOAD_QUOTA_MB",
    "PROVENANCE",
    "RETENTION_DAYS",
    "CORS_ORIGINS",
    "ALLOWED_HOSTS",
    "TRUSTED_PROXIES",
    "SYNC_WAIT_SECONDS",
    "JOB_DEADLINE_SECONDS",
    "SUBMIT_UNKNOWN_SECONDS",
    "POLLS_PER_SECOND",
    "WORKERS",
    "RECEIPTS_DIR",
    "BATCH_IN_FLIGHT",
    "RATE_LIMIT_SUBMIT",
    "RATE_LIMIT_LOGIN",
    "REGISTRY_PATH",
    "OPENAI_UNKNOWN",
    "SECRETS_KEY",
    "WEBHOOK_ALLOW_HTTP",
    "WEBHOOK_PRIVATE_HOSTS",
    "WEBHOOK_LOG_DAYS",
    "ALERT_WEBHOOK_URL",
    "DATA_DIR",
    "ALIVE_FILE",
    "LOG_LEVEL",
    "LOG_FORMAT",
]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(document, dict)
    return document


def example_lines() -> list[str]:
    return (ROOT / ".env.example").read_text().splitlines()


def dockerfile() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_procfile_names_the_three_processes() -> None:
    commands = read_procfile((ROOT / "Procfile").read_text())

    assert commands == {name: [sys.executable, *arguments] for name, arguments in PROCESSES.items()}


def test_compose_runs_the_commands_of_the_procfile(compose: dict[str, Any]) -> None:
    commands = {name: compose["services"][name]["command"] for name in PROCESSES}

    assert commands == {name: ["python", *arguments] for name, arguments in PROCESSES.items()}


def test_compose_can_run_many_workers(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]

    assert "container_name" not in worker
    assert "ports" not in worker


def test_every_store_of_compose_has_a_health_check_and_a_volume(compose: dict[str, Any]) -> None:
    stores = {name: compose["services"][name] for name in ("mongo", "redis", "minio")}

    assert all("healthcheck" in store and store["volumes"] for store in stores.values())
    assert {volume.split(":")[0] for store in stores.values() for volume in store["volumes"]} == set(compose["volumes"]) - {"receipts"}


def test_the_mongodb_of_compose_is_a_replica_set_with_a_password_and_a_user_for_the_service(compose: dict[str, Any]) -> None:
    mongo, uri = compose["services"]["mongo"], compose["services"]["web"]["environment"]["MONGODB_URI"]

    assert uri == "mongodb://imagegw:${MONGO_PASSWORD:?set it in .env}@mongo:27017/imagegw?replicaSet=rs0"
    assert all(part in mongo["command"][0] for part in ("--replSet rs0", "--keyFile", 'user: "imagegw"', 'roles: ["readWrite"]'))
    assert "rs.initiate" in mongo["healthcheck"]["test"][1]
    assert mongo["environment"]["MONGO_INITDB_ROOT_PASSWORD"].startswith("${MONGO_PASSWORD:?")


def test_the_redis_of_compose_lets_in_the_services_user_only(compose: dict[str, Any]) -> None:
    redis, url = compose["services"]["redis"], compose["services"]["web"]["environment"]["REDIS_URL"]

    assert url.startswith("redis://imagegw:${REDIS_PASSWORD:?")
    assert "user default off\\nuser imagegw on >%s ~* &* +@all -@dangerous +info\\n" in redis["command"][-1]
    assert "--aclfile /tmp/users.acl" in redis["command"][-1]
    assert "ports" not in redis


def test_nobody_can_list_the_bucket_of_compose_and_the_service_is_not_minios_root(compose: dict[str, Any]) -> None:
    bucket, service = compose["services"]["bucket"], compose["services"]["web"]["environment"]
    (reader,) = json.loads(bucket["environment"]["READER_POLICY"])["Statement"]
    rights = json.loads(bucket["environment"]["SERVICE_POLICY"])["Statement"]

    assert (reader["Action"], reader["Resource"]) == (["s3:GetObject"], ["arn:aws:s3:::imagegw/*"])
    assert "mc anonymous set-json /tmp/reader.json store/imagegw" in bucket["command"][0]
    assert "mc anonymous set download" not in bucket["command"][0]
    assert {action for right in rights for action in right["Action"]} == {
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:ListBucket",
    }
    assert {name.partition("/")[0] for right in rights for name in right["Resource"]} == {"arn:aws:s3:::imagegw"}
    assert service["AWS_ACCESS_KEY_ID"] != compose["services"]["minio"]["environment"]["MINIO_ROOT_USER"]
    assert "MINIO_PASSWORD" in service["AWS_SECRET_ACCESS_KEY"]
    assert "MINIO_ROOT_PASSWORD" not in service


def test_what_a_worker_keeps_outlives_its_container(compose: dict[str, Any]) -> None:
    (volume,) = compose["services"]["worker"]["volumes"]

    assert volume == "receipts:/var/lib/imagegw/receipts"
    assert "RECEIPTS_DIR=/var/lib/imagegw/receipts" in dict(dockerfile())["ENV"]
    assert "receipts" in compose["volumes"]


def test_compose_waits_only_for_services_it_has(compose: dict[str, Any]) -> None:
    services = compose["services"]

    awaited = {name for service in services.values() for name in service.get("depends_on", {})}

    assert awaited == {"mongo", "redis", "minio", "bucket"} <= set(services)


def test_compose_publishes_ports_on_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_takes_its_secrets_from_the_env_file(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text))

    assert asked == {"FAL_KEY", "JWT_SECRET", "MINIO_PASSWORD", "MINIO_ROOT_PASSWORD", "MONGO_PASSWORD", "REDIS_PASSWORD"}
    assert {name for name in asked if any(line == f"{name}=" for line in example_lines())} == asked


def test_compose_gives_every_service_setting_by_a_known_name(compose: dict[str, Any]) -> None:
    given = set(compose["services"]["web"]["environment"])

    assert given <= set(SETTINGS)
    assert {"MONGODB_URI", "REDIS_URL", "STORAGE_URL", "FAL_KEY", "JWT_SECRET"} <= given


def test_each_service_of_compose_gets_the_settings_it_needs_and_no_other(compose: dict[str, Any]) -> None:
    services = compose["services"]
    given = {name: set(services[name]["environment"]) for name in PROCESSES}
    # Those of the machine scripts/dev runs on, and those that mean something else when they are empty.
    elsewhere = {"DATA_DIR", "SSL_CERT_FILE", "FAL_RUN_HOST", "FAL_QUEUE_RUN_HOST", "RECEIPTS_DIR", "ALIVE_FILE", "AWS_DEFAULT_REGION"}

    assert not any("env_file" in service for service in services.values())
    assert set(SETTINGS) - elsewhere == set.union(*given.values())
    for secret in ("JWT_SECRET", "FAL_ADMIN_KEY", "ALLOW_ANONYMOUS"):
        assert {name for name in PROCESSES if secret in given[name]} == {"web"}
    assert not any("ROOT" in name for names in given.values() for name in names)


def test_every_service_of_compose_has_as_few_rights_as_it_can(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert any(mount.startswith("/tmp") for mount in service["tmpfs"]), name
    assert {name for name, service in compose["services"].items() if service.get("cap_add")} == {"mongo", "redis"}


def test_the_image_installs_locked_dependencies_and_does_not_run_as_root() -> None:
    instructions = dockerfile()

    kinds = [kind for kind, _ in instructions]
    assert instructions[0] == ("FROM", "python:3.12-slim")
    assert any(
        kind == "RUN" and "--require-hashes --no-deps -r uv.txt" in rest and "uv sync --frozen" in rest for kind, rest in instructions
    )
    assert dict(instructions)["USER"] not in ("root", "0")
    assert kinds.index("USER") < kinds.index("CMD")


def test_the_image_holds_what_the_processes_import_and_the_ignore_file_lets_it_through() -> None:
    copied = [source for kind, rest in dockerfile() if kind == "COPY" for source in rest.split()[:-1]]
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert copied == ["pyproject.toml", "uv.lock", "scripts/uv.txt", "registry", "app", "workers"]
    assert let_through == set(copied)


def test_time_cannot_break_the_lock() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    packages = [package for package in lock["package"] if "registry" in package["source"]]
    files = [file for package in packages for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]]

    assert all(file["hash"].startswith("sha256:") for file in files)
    assert {package["source"]["registry"] for package in packages} == {"https://pypi.org/simple"}
    assert all(dependency["name"] in {p["name"] for p in lock["package"]} for p in packages for dependency in p.get("dependencies", []))


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]

    assert len(dependencies) > 20
    assert [text for text in dependencies if not re.fullmatch(r"[a-z0-9-]+>=[\d.]+,<[\d.]+", text)] == []


def test_the_example_lists_every_setting_once_with_a_comment_above() -> None:
    lines = example_lines()
    places = [(number, match[1]) for number, line in enumerate(lines) if (match := re.match(r"#?([A-Z0-9_]+)=", line))]
    names = [name for _, name in places]

    assert set(SETTINGS) <= set(names)
    assert set(names) - set(SETTINGS) == {"MINIO_PASSWORD", "MINIO_ROOT_PASSWORD", "MONGO_PASSWORD", "REDIS_PASSWORD"}
    assert len(names) == len(set(names))
    assert all(lines[number - 1].startswith("# ") for number, _ in places)


def test_the_example_names_every_setting_the_service_reads() -> None:
    source = (ROOT / "app" / "config.py").read_text()
    read = set(re.findall(r'(?:\bsetting\(|\bsecret\(|self\.\w+\(|\.optional, )\s*"([A-Z][A-Z0-9_]+)"', source))

    assert read
    assert read <= set(SETTINGS)


def test_the_example_as_it_stands_sets_nothing() -> None:
    settings = read_env_file((ROOT / ".env.example").read_text())

    assert settings == {}


@pytest.mark.parametrize("path", SCRIPTS)
def test_a_script_is_executable_and_is_valid_bash(path: str) -> None:
    script = ROOT / path

    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)

    assert checked.stderr == ""
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script.read_text()


@pytest.mark.parametrize("path", [*SCRIPTS, ".env.example", "Procfile", "Dockerfile", "docker-compose.yml", ".dockerignore"])
def test_no_file_names_the_machine_it_was_written_on(path: str) -> None:
    text = (ROOT / path).read_text()

    assert str(ROOT) not in text
    assert str(Path.home()) not in text


def test_the_hooks_before_a_commit_run_what_the_environment_holds_and_download_nothing() -> None:
    document = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in document["repos"] for hook in repository["hooks"]]

    assert {repository["repo"] for repository in document["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["entry"].split()[0].rpartition("/")[2] for hook in hooks} == {"ruff", "mypy"}
    assert all(os.access(ROOT / hook["entry"].split()[0], os.X_OK) for hook in hooks)


def test_an_unknown_set_of_dependencies_is_refused_with_the_known_ones() -> None:
    asked = subprocess.run([ROOT / "scripts/venv", "everything"], capture_output=True, text=True, check=False)

    assert asked.returncode == 2
    assert "runtime, embedded, dev" in asked.stderr
