"""`/openapi.json` and `/api-docs`: valid, complete, and true, as its examples are carried out."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.api.application import build
from app.bootstrap import Services
from app.domain.endpoint import EVENTS
from tests.acceptance.people import Person, accounts_of, headers_of, registered
from tests.acceptance.service import Answer, Service, wait_until
from tests.support.factories import picture

ROOT = Path(__file__).resolve().parents[2]
FALS_OWN = "/api/webhooks/"  # Called by fal in fal's own format: nothing a client of this API may use.
METHODS = {"get", "post", "put", "patch", "delete"}
#: The name of the error body below a path; clients of other services know other ones.
ERROR_BODIES = {"/fal/": "FalErrorAnswer", "/api/fal/": "FalErrorAnswer", "/v1/": "OpenAIErrorAnswer", "/mcp": "McpAnswer"}
A_JOB = "01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"
PRINT_ROUTES = """
import json, os
from app import create_app
from app.bootstrap import Services
from app.config import load_settings
settings = load_settings(os.environ)
app = create_app(settings, Services(settings))
print(json.dumps([[rule.rule, sorted(rule.methods - {"HEAD", "OPTIONS"})] for rule in app.url_map.iter_rules()]), flush=True)
os._exit(0)
"""
Spec = dict[str, Any]
Operation = dict[str, Any]


@pytest.fixture(scope="module")
def spec(shared_service: Service) -> Spec:
    answer = shared_service.client.get("/openapi.json")
    assert answer.status_code == 200
    found: Spec = answer.json()
    return found


@pytest.fixture(scope="module")
def admin(shared_service: Service) -> Answer:
    """An administrator."""
    account = registered(shared_service.client)
    set_role = [sys.executable, "-m", "app", "users", "set-role", account["user"]["email"], "admin"]
    subprocess.run(set_role, env=shared_service.stack.env, cwd=ROOT, capture_output=True, timeout=30, check=True)
    return {"headers": headers_of(account), "userId": account["user"]["id"]}


def needs_user(path: str) -> bool:
    return path.startswith(("/api/generate/", "/api/uploads", "/api/tokens", "/api/budgets", "/api/auth/password", "/api/admin/"))


def operations(spec: Spec) -> Iterator[tuple[str, str, Operation]]:
    """Yield method, path and operation with the path's own parameters among its parameters."""
    for path, item in spec["paths"].items():
        for method in METHODS & item.keys():
            operation = item[method]
            yield method, path, {**operation, "parameters": [*item.get("parameters", []), *operation.get("parameters", [])]}


def address_of(path: str, operation: Operation, **known: str) -> str:
    """Return an operation's path with what is known, or the examples of its parameters."""
    examples = {parameter["name"]: parameter.get("example", A_JOB) for parameter in operation["parameters"] if parameter["in"] == "path"}
    examples |= known
    return re.sub(r"\{(\w+)\}", lambda found: str(examples[found[1]]), path)


def examples_of(operation: Operation) -> list[Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return [example["value"] for example in body.get("examples", {}).values()] + [body[key] for key in ("example",) if key in body]


def response_of(spec: Spec, operation: Operation, status: str) -> Any:
    response = operation["responses"][status]
    return spec["components"]["responses"][response["$ref"].rpartition("/")[2]] if "$ref" in response else response


def error_body_of(path: str) -> str:
    return next((name for prefix, name in ERROR_BODIES.items() if path.startswith(prefix)), "ErrorAnswer")


def schema_of(spec: Spec, operation: Operation, status: str) -> Any:
    content = response_of(spec, operation, status).get("content", {})
    return content.get("application/json", next(iter(content.values()), {})).get("schema")


def test_the_document_is_valid_openapi_31(spec: Spec) -> None:
    problems = [error.message for error in OpenAPIV31SpecValidator(spec).iter_errors()]

    assert spec["openapi"].startswith("3.1.")
    assert problems == []


def test_every_event_that_webhooks_tell_has_an_example_of_its_shape(spec: Spec) -> None:
    wrong = []

    for name, item in spec["webhooks"].items():
        content = item["post"]["requestBody"]["content"]["application/json"]
        (example,) = [each["value"] for each in content["examples"].values()]
        found = Draft202012Validator({**content["schema"], "components": spec["components"]}).iter_errors(example)
        wrong += [f"{name}: {error.json_path}: {error.message}" for error in found]

    assert spec["webhooks"].keys() == set(EVENTS)
    assert wrong == []


def test_every_route_of_the_api_is_documented(service: Service, spec: Spec) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_ROUTES], env=service.stack.env, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )

    routes = {
        (method.lower(), re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", r"{\1}", rule))
        for rule, methods in json.loads(done.stdout)
        for method in methods
        if rule.startswith("/api/") and not rule.startswith(FALS_OWN)
    }
    documented = {(method, path) for method, path, _ in operations(spec)}
    assert len(routes) >= 6
    assert routes - documented == set()


def test_every_operation_documents_its_answers_and_its_errors(spec: Spec) -> None:
    lacking = []

    for method, path, operation in operations(spec):
        statuses = operation["responses"].keys()
        takes_input = operation["parameters"] or "requestBody" in operation
        checks = {
            "a summary": bool(operation.get("summary")),
            "a success": any(status.startswith("2") for status in statuses),
            "the shape of its answer": all(schema_of(spec, operation, s) for s in statuses if s.startswith("2") and is_full(operation, s)),
            "its error codes": not takes_input or any(status.startswith("4") for status in statuses),
            "the error body": all(
                schema_of(spec, operation, s) == {"$ref": f"#/components/schemas/{error_body_of(path)}"} for s in statuses if s[0] in "45d"
            ),
            "the shape of its body": all("schema" in kind for kind in operation.get("requestBody", {}).get("content", {}).values()),
        }
        lacking += [f"{method} {path}: {what}" for what, is_there in checks.items() if not is_there]

    assert lacking == []


def is_full(operation: Operation, status: str) -> bool:
    """Tell whether an answer has a body: a 204 has none, nor has a 202 to a message that was only taken."""
    return status != "204" and (status != "202" or "content" in operation["responses"][status])


def test_every_operation_that_takes_json_has_an_example(spec: Spec) -> None:
    without = [
        f"{method} {path}"
        for method, path, operation in operations(spec)
        if "application/json" in operation.get("requestBody", {}).get("content", {}) and not examples_of(operation)
    ]

    assert without == []


def test_every_example_is_carried_out_and_answered_as_documented(service: Service, spec: Spec, admin: Answer) -> None:
    wrong, job_id = [], service.submit("a red bicycle")
    pictures = {"imageIds": [image["imageId"] for image in service.ended(job_id)["images"]]}
    wait_until(lambda: service.document(job_id)["settlement"] == "done", 30, "settlement")
    endpoint = {"url": "http://localhost:8099/hooks", "events": ["*"]}
    known_ids = {
        "job_id": job_id,
        "endpoint_id": service.client.post("/api/webhooks", json=endpoint).json()["id"],
        "user_id": Person(service).id,
        "key_id": accounts_of(service).make_key("of an example")[0].id,
    }

    for method, path, operation in operations(spec):
        for example in examples_of(operation):
            if path == "/api/admin/models/import":
                continue  # It asks fal's own platform, which no test does; `test_admin_models.py` carries it out at a stand-in.
            # Only whose tokens are topped up, and which pictures there are, cannot be known; everything else is sent as it stands.
            known = {"/api/tokens/topup": {"userId": admin["userId"]}, "/api/images/archive": pictures}
            body = {**example, **known.get(path, {})}
            headers = admin["headers"] if needs_user(path) else {}
            address = address_of(path, operation, **known_ids)
            answer = service.client.request(method, address, json=body, headers=headers)
            documented = {status for status in operation["responses"] if status.startswith("2")}
            problems = [] if str(answer.status_code) in documented else [f"{answer.status_code}, not {documented}: {answer.text}"]
            problems = problems or mismatches(spec, operation, answer)
            wrong += [f"{method} {path} {json.dumps(example)}: {problem}" for problem in problems]

    assert wrong == []


def test_a_form_is_filled_in_so_that_only_the_picture_is_missing(service: Service, spec: Spec, admin: Answer) -> None:
    form = spec["paths"]["/api/generate/image-reference"]["post"]["requestBody"]["content"]["multipart/form-data"]
    examples = {name: field["example"] for name, field in form["schema"]["properties"].items() if "example" in field}
    fields = {name: value if isinstance(value, list) else str(value) for name, value in examples.items()}

    answer = service.client.post(
        "/api/generate/image-reference", data=fields, files={"image": ("me.png", picture())}, headers=admin["headers"]
    )

    assert answer.status_code == 202, answer.text
    assert set(fields) == form["schema"]["properties"].keys() - {"image"}


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        (
            "Idempotency-Key",
            {
                "/api/images/generate",
                "/api/images/batch",
                "/api/jobs/{job_id}/retry",
                "/api/generate/text-to-image",
                "/api/generate/image-reference",
            },
        ),
        ("Prefer", {"/api/images/generate"}),
        ("Last-Event-ID", {"/api/jobs/{job_id}/events"}),
    ],
)
def test_headers_that_change_what_is_done_are_parameters(spec: Spec, name: str, paths: set[str]) -> None:
    told = {path for _, path, operation in operations(spec) for each in operation["parameters"] if each["name"] == name}

    assert paths <= told


def test_each_operation_tells_which_credentials_it_takes(spec: Spec) -> None:
    told = {f"{method} {path}": operation.get("security") for method, path, operation in operations(spec)}

    assert spec["components"]["securitySchemes"].keys() >= {"bearer", "apiKey"}
    assert told["post /api/images/generate"] == [{"bearer": []}, {"apiKey": []}, {}]  # Here anybody may call.
    assert told["post /api/generate/image-reference"] == [{"bearer": []}]
    assert told["put /api/budgets"] == [{"bearer": []}, {"apiKey": []}]
    assert told["post /api/auth/login"] is None


def test_where_nobody_may_call_without_a_credential_the_document_says_so(services: Services) -> None:
    spec = build(services.settings, services).test_client().get("/openapi.json").json

    assert spec is not None
    assert spec["paths"]["/api/images/generate"]["post"]["security"] == [{"bearer": []}, {"apiKey": []}]


def test_what_is_read_is_answered_as_documented(service: Service, spec: Spec) -> None:
    known = {"name": "flux-pro", "job_id": service.submit("a red bicycle")}
    service.ended(known["job_id"])
    wrong, read = [], 0

    for method, path, operation in operations(spec):
        names = re.findall(r"\{(\w+)\}", path)
        if method != "get" or not all(name in known for name in names) or not path.startswith(("/api/images", "/api/jobs", "/api/usage")):
            continue
        answer = service.client.get(path.format(**known))
        read += 1
        wrong += [f"{path}: {problem}" for problem in mismatches(spec, operation, answer)]

    assert read >= 4
    assert wrong == []


def test_a_bad_credential_is_refused_where_the_document_says_so(service: Service, spec: Spec) -> None:
    undocumented, refusals = [], 0
    before = service.footprint()

    for method, path, operation in operations(spec):
        body = {"json": examples_of(operation)[0]} if examples_of(operation) else {}
        address = re.sub(r"\{\w+\}", A_JOB, path)
        answer = service.client.request(method, address, headers={"Authorization": "Bearer nonsense"}, **body)
        refusals += answer.status_code == 401
        if answer.status_code == 401 and "401" not in operation["responses"]:
            undocumented.append(f"{method} {path}")

    assert refusals >= 5
    assert undocumented == []
    assert service.footprint() == before


def test_the_docs_are_a_page_that_needs_no_other_host(client: httpx.Client) -> None:
    page = client.get("/api-docs", follow_redirects=True)

    parts = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    hosts = {urlsplit(address).netloc for address in re.findall(r"""(?:https?:)?//[^\s"'<>]+""", page.text)}
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert "swagger-ui" in page.text
    assert len(parts) >= 4
    assert hosts <= {urlsplit(str(client.base_url)).netloc}
    for part in parts:
        loaded = client.get(urljoin(str(page.url), part))
        assert loaded.status_code == 200
        assert not re.search(r"@import|url\(['\"]?(https?:)?//", loaded.text if part.endswith(".css") else "")


def mismatches(spec: Spec, operation: Operation, answer: httpx.Response) -> list[str]:
    """Return how an answer differs from the schema of its status; a field the schema does not know counts, too."""
    kind = answer.headers["content-type"].partition(";")[0]
    if kind != "application/json":
        return [] if kind in response_of(spec, operation, str(answer.status_code))["content"] else [f"{kind} is not documented"]
    schema = schema_of(spec, operation, str(answer.status_code))
    if schema is None:
        return [f"{answer.status_code} has no schema"]
    found = Draft202012Validator({**schema, "components": spec["components"]}).iter_errors(answer.json())
    known = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    extra = answer.json().keys() - known.get("properties", {}).keys()
    return [f"{error.json_path}: {error.message}" for error in found] + [f"undocumented: {name}" for name in extra]
