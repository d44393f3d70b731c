"""fal's own Python client led to a gateway: by its environment, and from within. What the real clients then do is an acceptance test."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from click.testing import CliRunner, Result

import imagegen.fal
from imagegen.cli import cli

FAL = dict.fromkeys(imagegen.fal.places("http://localhost"), "https://fal.example")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return what stands for fal_client.client; the real one must not be led away from the tests beside this one."""
    package, module = ModuleType("fal_client"), ModuleType("fal_client.client")
    vars(module).update(FAL)
    vars(package).update(client=module, sync_client=SimpleNamespace(key=None), async_client=SimpleNamespace(key=None))
    monkeypatch.setitem(sys.modules, "fal_client", package)
    monkeypatch.setitem(sys.modules, "fal_client.client", module)
    return module


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "fal's own")


def addresses_of(module: ModuleType) -> dict[str, str]:
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


@pytest.mark.parametrize(
    ("server", "run", "realtime"),
    [
        ("http://localhost:5000", "http://localhost:5000/fal/", "ws://localhost:5000/fal/"),
        ("https://gw.example.com/", "https://gw.example.com/fal/", "wss://gw.example.com/fal/"),
        (" https://example.com/pictures ", "https://example.com/pictures/fal/", "wss://example.com/pictures/fal/"),
    ],
)
def test_every_address_of_fals_client_becomes_one_of_the_gateway(module: ModuleType, server: str, run: str, realtime: str) -> None:
    imagegen.fal.use(server, "igk_1")

    assert addresses_of(module) == {
        "RUN_URL_FORMAT": run,
        "QUEUE_URL_FORMAT": f"{run}queue/",
        "REALTIME_URL_FORMAT": realtime,
        "REST_URL": f"{run}rest",
        "CDN_URL": f"{run}cdn",
        "FAL_CDN_FALLBACK_URL": f"{run}cdn",
    }
    assert os.environ["FAL_KEY"] == "igk_1"


def test_a_place_that_a_release_never_had_is_not_made_up(module: ModuleType) -> None:
    del vars(module)["FAL_CDN_FALLBACK_URL"]

    imagegen.fal.use("http://localhost:5000", "igk_1")

    assert "FAL_CDN_FALLBACK_URL" not in vars(module)


def test_what_the_modules_client_has_kept_of_another_key_is_forgotten(module: ModuleType) -> None:
    client = sys.modules["fal_client"].sync_client
    client._client = client._auth = "with fal's own"

    imagegen.fal.use("http://localhost:5000", "igk_1")

    assert vars(client) == {"key": None}


def test_a_log_in_at_fal_is_not_sent_instead_of_the_key(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_FORCE_AUTH_BY_USER", "1")

    imagegen.fal.use("http://localhost:5000", "igk_1")

    assert "FAL_FORCE_AUTH_BY_USER" not in os.environ


@pytest.mark.parametrize("server", ["localhost:5000", "", "ftp://example.com"])
def test_what_is_no_address_of_a_server_changes_nothing(module: ModuleType, server: str) -> None:
    with pytest.raises(ValueError, match="http:// or https://"):
        imagegen.fal.use(server, "igk_1")

    assert (addresses_of(module), os.environ["FAL_KEY"]) == (FAL, "fal's own")


def test_a_release_that_keeps_an_address_elsewhere_is_refused_before_any_call_could_take_the_key_to_fal(module: ModuleType) -> None:
    del vars(module)["REST_URL"]
    before = addresses_of(module)

    with pytest.raises(RuntimeError, match="no REST_URL"):
        imagegen.fal.use("http://localhost:5000", "igk_1")

    assert (addresses_of(module), os.environ["FAL_KEY"]) == (before, "fal's own")


def test_without_fals_client_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fal_client", None)

    with pytest.raises(ModuleNotFoundError, match="pip install fal-client"):
        imagegen.fal.use("http://localhost:5000", "igk_1")


def fal_env(*arguments: str, **environment: str) -> Result:
    settings = {"IMAGEGEN_SERVER": "https://gw.example.com/", "IMAGEGEN_KEY": "", "SSL_CERT_FILE": "", **environment}
    return CliRunner().invoke(cli, ["fal-env", *arguments], env=settings, standalone_mode=False)


def test_the_printed_lines_set_the_environment_of_a_shell() -> None:
    printed = fal_env(IMAGEGEN_KEY="igk_it's $HOME")

    done = subprocess.run(
        ["bash", "-c", f'eval "$1"; {sys.executable} -c "import os, json; print(json.dumps(dict(os.environ)))"', "bash", printed.stdout],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )

    found = {name: value for name, value in json.loads(done.stdout).items() if name.startswith(("FAL_", "SSL_"))}
    assert printed.return_value == 0
    assert found == {"FAL_RUN_HOST": "gw.example.com/fal", "FAL_QUEUE_RUN_HOST": "gw.example.com/fal/queue", "FAL_KEY": "igk_it's $HOME"}


def test_programs_get_the_same_as_json_and_a_private_authority_goes_along(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("a certificate")

    printed = fal_env("--json", "--key", "igk_1", SSL_CERT_FILE=str(tmp_path / "ca.pem"))

    assert json.loads(printed.stdout) == {
        "FAL_RUN_HOST": "gw.example.com/fal",
        "FAL_QUEUE_RUN_HOST": "gw.example.com/fal/queue",
        "FAL_KEY": "igk_1",
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--server", "http://localhost:5000", "--key", "igk_1"), "imagegen.fal.use('http://localhost:5000', KEY)"),
        ((), "--key or IMAGEGEN_KEY"),
    ],
    ids=["http", "no key"],
)
def test_half_an_environment_which_would_show_one_sides_key_to_the_other_is_never_printed(arguments: tuple[str, ...], words: str) -> None:
    printed = fal_env(*arguments)

    assert (printed.return_value, printed.stdout) == (2, "")
    assert words in printed.stderr
