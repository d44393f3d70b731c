"""deploy/kubernetes is what the API of Kubernetes takes, and what this service reads and does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.config import load_settings
from scripts.stack.files import read_procfile
from tests.tooling.test_project_files import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
#: The oldest that the cloud providers still run, and the newest the schemas know.
VERSIONS = ("1.31", "1.37")
PROCESSES = ("web", "worker", "watcher")
#: What a probe waits at most for a process that is well: RQ's longest task, and a sweep while MongoDB is away.
SIGNS = {"worker": 360, "watcher": 120}


def manifests() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.name}: {document['kind']}", document)
        for path in sorted(FOLDER.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text("utf-8"))
    ]


def found(kind: str, name: str = "imagegw") -> dict[str, Any]:
    [document] = [document for _, document in manifests() if document["kind"] == kind and document["metadata"]["name"] == name]
    return document


def pod_of(process: str) -> dict[str, Any]:
    spec: dict[str, Any] = found("Deployment", f"imagegw-{process}")["spec"]["template"]["spec"]
    return spec


def container_of(process: str) -> dict[str, Any]:
    [container] = pod_of(process)["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "document"), manifests(), ids=[name for name, _ in manifests()])
def test_the_api_takes_every_manifest_as_it_stands(name: str, document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_would_refuse_a_field_that_does_not_exist() -> None:
    document = found("Deployment", "imagegw-web")
    document["spec"]["replica"] = 2

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


def test_the_processes_run_the_commands_of_the_procfile() -> None:
    commands = {process: container_of(process)["command"][1:] for process in PROCESSES}

    assert commands == {name: command[1:] for name, command in read_procfile((ROOT / "Procfile").read_text()).items()}


def test_every_setting_has_a_known_name_and_together_they_start_production() -> None:
    settings = {**found("ConfigMap")["data"], **found("Secret")["stringData"]}

    loaded = load_settings(settings)

    assert set(settings) <= set(SETTINGS)
    assert (loaded.is_production, loaded.allow_anonymous, loaded.host) == (True, False, "0.0.0.0")
    assert all(isinstance(value, str) for value in settings.values())


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_gets_all_settings_and_nothing_of_the_clusters(process: str) -> None:
    pod, container = pod_of(process), container_of(process)

    assert container["envFrom"] == [{"configMapRef": {"name": "imagegw"}}, {"secretRef": {"name": "imagegw"}}]
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_runs_as_the_images_user_and_can_write_to_its_own_folders_only(process: str) -> None:
    pod, container = pod_of(process), container_of(process)
    image_user = re.search(r"useradd .*--uid (\d+)", (ROOT / "Dockerfile").read_text())

    assert image_user is not None
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, int(image_user[1]))
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    kept = {found("ConfigMap")["data"]["RECEIPTS_DIR"]} if process == "worker" else set()
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", *kept}
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_says_what_it_needs_and_may_be_disturbed_one_at_a_time(process: str) -> None:
    deployment, budget = found("Deployment", f"imagegw-{process}"), found("PodDisruptionBudget", f"imagegw-{process}")
    resources = container_of(process)["resources"]

    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] == 2
    assert (deployment["spec"]["selector"]["matchLabels"], budget["spec"]["selector"]["matchLabels"]) == (labels, labels)
    assert budget["spec"]["maxUnavailable"] == 1
    assert {*resources["requests"]} == {"cpu", "memory"}
    assert {*resources["limits"]} == {"memory"}


def test_web_is_restarted_when_it_hangs_and_passed_over_while_a_store_is_away() -> None:
    container = container_of("web")
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}

    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert {container[f"{name}Probe"]["httpGet"]["port"] for name in paths} == {"http"}
    assert container["ports"] == [{"name": "http", "containerPort": int(found("ConfigMap")["data"]["PORT"])}]


@pytest.mark.parametrize("process", SIGNS)
def test_workers_and_watcher_are_asked_for_their_sign_of_life(process: str) -> None:
    container = container_of(process)

    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == ["python", "-m", "workers.alive", str(SIGNS[process])]
    assert Path(found("ConfigMap")["data"]["ALIVE_FILE"]).parent == Path(container["volumeMounts"][0]["mountPath"])


def test_the_service_and_the_way_in_lead_to_the_web_processes() -> None:
    service, ingress = found("Service", "imagegw-web"), found("Ingress")
    paths = ingress["spec"]["rules"][0]["http"]["paths"]

    assert service["spec"]["selector"] == found("Deployment", "imagegw-web")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
    assert {path["backend"]["service"]["name"] for path in paths} == {"imagegw-web"}
    assert [path["path"] for path in paths if path["path"] in ("/", "/metrics", "/healthz", "/readyz")] == []
    assert {f"https://{ingress['spec']['rules'][0]['host']}"} == {found("ConfigMap")["data"]["PUBLIC_URL"]}


def test_a_pod_is_given_the_time_its_process_needs_to_end() -> None:
    assert pod_of("web")["terminationGracePeriodSeconds"] >= 5 + 10 + 5
    assert pod_of("worker")["terminationGracePeriodSeconds"] >= 60
    assert container_of("web")["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]


def test_the_commands_of_the_docs_name_files_and_deployments_that_exist() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    commands = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("kubectl ")]
    deployments = {f"deploy/{document['metadata']['name']}" for _, document in manifests() if document["kind"] == "Deployment"}

    files = [words[i + 1] for words in commands for i, word in enumerate(words) if word == "-f"]
    named = {word for words in commands for word in words if word.startswith("deploy/imagegw")}

    assert {word for words in commands for word in words} >= {"apply", "exec", "rollout", "scale"}
    assert [file for file in files if not (ROOT / file).exists() and not file.endswith("secret.yaml")] == []
    assert named
    assert named <= deployments
