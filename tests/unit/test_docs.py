"""The documentation says what is there: links lead somewhere, every setting is listed, commands and paths exist, examples parse."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import click
import pytest

from app.api.monitoring import COUNTERS, GAUGES, HISTOGRAMS
from app.operator.cli import cli
from registry.model_file import read_model

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
]
#: Pages that people write; others in docs/ may come from a tool.
WRITTEN = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "docs/adding-a-model.md",
    "docs/architecture.md",
    "docs/batches.md",
    "docs/budgets.md",
    "docs/client.md",
    "docs/costs.md",
    "docs/decisions.md",
    "docs/events.md",
    "docs/guarantees.md",
    "docs/openai.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/scale.md",
    "docs/script-api.md",
    "docs/settings.md",
    "docs/sizing.md",
    "docs/stores.md",
    "docs/usage.md",
    "docs/web-app-api.md",
    "docs/webhooks.md",
]

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)
APP_COMMAND = re.compile(r"python -m app(?P<words>(?: [a-z][a-z-]*)*)")
SCRIPT = re.compile(r"(?<![\w./-])scripts/[a-z_]+(?!\.txt)\b")


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def prose_of(page: str) -> str:
    return FENCE.sub("", text_of(page))


def code_of(page: str, language: str) -> list[str]:
    return [match["code"] for match in FENCE.finditer(text_of(page)) if match["language"] == language]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors GitHub makes of a page's headings."""
    headings = (match["text"] for match in HEADING.finditer(FENCE.sub("", page.read_text("utf-8"))))
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def settings_of(env_file: str) -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", text_of(env_file), re.MULTILINE))


def test_every_written_page_exists() -> None:
    assert [page for page in WRITTEN if not (ROOT / page).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    targets = [match["target"] for match in LINK.finditer(prose_of(page))]

    broken = []
    for target in targets:
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(target)

    assert broken == []


def test_every_page_is_linked_from_the_readme_which_stays_short() -> None:
    targets = {match["target"].partition("#")[0] for match in LINK.finditer(prose_of("README.md"))}

    assert [page for page in PAGES if page != "README.md" and page not in targets] == []
    assert len(text_of("README.md").splitlines()) <= 250


def test_every_setting_is_in_the_table_of_settings_and_the_table_has_no_others() -> None:
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|", text_of("docs/settings.md"), re.MULTILINE)

    assert sorted(rows) == sorted(settings_of(".env.example"))


def command_of(words: list[str]) -> click.Command:
    """Return the command that words lead to, without the arguments behind it. Raises LookupError."""
    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.commands.get(word)
        if found is None:
            raise LookupError(f"{command.name} has no command {word}")
        command = found
    return command


@pytest.mark.parametrize("page", WRITTEN)
def test_the_operators_commands_that_are_named_exist(page: str) -> None:
    for match in APP_COMMAND.finditer(text_of(page)):
        command = command_of(match["words"].split())

        assert command is cli or not isinstance(command, click.Group), match[0]


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md", "docs/script-api.md"])
def test_a_page_that_shows_one_command_of_a_group_shows_them_all(page: str) -> None:
    shown = {tuple(match["words"].split()[:2]) for match in APP_COMMAND.finditer(text_of(page))}

    groups = {words[0] for words in shown if words}
    commands = {(name, command) for name in groups for command in getattr(cli.commands[name], "commands", {})}

    assert groups >= {"keys", "users"}
    assert commands <= shown


@pytest.mark.parametrize("page", PAGES)
def test_the_scripts_that_are_named_exist_and_can_be_run(page: str) -> None:
    named = {match[0] for match in SCRIPT.finditer(text_of(page))}

    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    assert [name for name in sorted(named) if (ROOT / name).is_file() and not (ROOT / name).stat().st_mode & 0o111] == []


def test_the_line_that_prepares_a_machine_names_all_that_later_lines_use() -> None:
    blocks = [block for page in ("README.md", "docs/script-api.md", "docs/web-app-api.md") for block in code_of(page, "bash")]
    (prepared,) = [block.split() for block in blocks if block.startswith("apt-get install")]
    # What a line runs: its first word and those after a pipe or in $( ); not what stands in quotes, which is data.
    lines = [line for block in blocks for line in re.sub(r"'[^']*'|\\\\\n", "", block).splitlines()]
    programs = {words[0] for line in lines for part in re.split(r"\||\$\(", line) if (words := part.split())}

    assert {"curl", "jq"} <= programs
    assert {name for name in programs if re.fullmatch("[a-z]+", name)} - {"set", "mkdir", "docker"} <= set(prepared)


def test_the_map_of_the_code_names_each_file_once() -> None:
    code_map = text_of("README.md").partition("## Map of the code")[2].partition("\n## ")[0]

    rows = re.findall(r"^\| \[([^\]]+)\]\(([^)]+)\)", code_map, re.MULTILINE)

    assert len(rows) > 10
    assert all(shown == target for shown, target in rows)
    assert len({target for _, target in rows}) == len(rows)


@pytest.mark.parametrize("page", WRITTEN)
def test_json_examples_are_json(page: str) -> None:
    for code in code_of(page, "json"):
        json.loads(code)


@pytest.mark.parametrize("page", ["README.md", "docs/adding-a-model.md"])
def test_the_example_of_a_model_file_is_one(page: str, tmp_path: Path) -> None:
    example = next(code for code in code_of(page, "toml") if "falEndpoint" in code)
    file = tmp_path / "your-new-model.toml"
    file.write_text(example)

    spec = read_model(file)

    assert (spec.fal_endpoint, spec.required_inputs) == ("fal-ai/your-endpoint", ("prompt",))


def test_the_fragments_of_model_files_fit_together(tmp_path: Path) -> None:
    fragments = code_of("docs/adding-a-model.md", "toml")
    whole, *others = fragments
    parameters = "[options.resolution]\n[options.enable_web_search]\n"
    file = tmp_path / "your-new-model.toml"
    file.write_text(whole.replace("costPerImage = 0.03\n", "") + parameters + "\n".join(code for code in others if "variants" not in code))

    spec = read_model(file)

    assert [price.id for price in spec.prices] == ["your-new-model-2026-01"]
    assert all(tomllib.loads(code) for code in fragments)


def test_the_metrics_page_names_what_is_measured() -> None:
    text = text_of("docs/operations.md")

    missing = [name for name in {**COUNTERS, **GAUGES, **HISTOGRAMS} if name not in text]

    assert missing == []


@pytest.mark.parametrize("page", WRITTEN)
def test_pages_name_no_folder_of_somebodys_machine(page: str) -> None:
    assert re.findall(r"/(?:work|home|Users|root)/\S*", text_of(page)) == []
