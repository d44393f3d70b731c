"""Prompt texts around what a user wrote: focus modes for reference images, and templates for text-to-image."""

import re
from dataclasses import dataclass
from pathlib import Path

from registry.table import Table, read_toml

FOCUS_MODES = ("subject", "face", "full_image")
_PLACEHOLDER = "{prompt}"
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class PromptTemplate:
    id: str
    name: str
    description: str
    template: str
    """Text with `{prompt}` exactly once."""
    example: str
    """A prompt of the kind the template is for."""

    @property
    def preview(self) -> str:
        """Return what the template makes of its example."""
        return self.enhance(self.example)

    def enhance(self, prompt: str) -> str:
        """Put the prompt in its place, as it is: braces in it mean nothing."""
        head, tail = self.template.split(_PLACEHOLDER)
        return f"{head}{prompt}{tail}"


@dataclass(frozen=True, kw_only=True)
class PromptTemplates:
    focus_modes: tuple[PromptTemplate, ...]
    """In the order of FOCUS_MODES, which are their ids."""
    templates: tuple[PromptTemplate, ...]

    def focus(self, mode: str) -> PromptTemplate:
        """Return the text of a focus mode. Raises KeyError for one not in FOCUS_MODES."""
        return {focus.id: focus for focus in self.focus_modes}[mode]

    def get(self, template_id: str) -> PromptTemplate | None:
        return next((template for template in self.templates if template.id == template_id), None)


def load_prompt_templates(path: Path | None = None) -> PromptTemplates:
    """Read the prompt file, by default the one that ships with the project. Raises RegistryError."""
    table = read_toml(path or Path(__file__).parent / "prompt_templates.toml")
    focus = table.table("focus")
    for mode in FOCUS_MODES:
        if mode not in focus:
            raise focus.fail(mode, "is missing; each focus mode needs its text")
    modes = tuple(_template(focus.table(mode), mode) for mode in FOCUS_MODES)
    focus.finish()
    entries = table.tables("templates")
    templates = tuple(_template(entry, _id(entry)) for entry in entries)
    table.finish()
    for index, template in enumerate(templates):
        if template.id in {other.id for other in templates[:index]}:
            raise entries[index].fail("id", f"'{template.id}' is declared twice; rename one")
    return PromptTemplates(focus_modes=modes, templates=templates)


def _id(entry: Table) -> str:
    value = entry.text("id")
    if not _ID.fullmatch(value):
        raise entry.fail("id", "must be lower-case words joined by dashes")
    return value


def _template(entry: Table, template_id: str) -> PromptTemplate:
    text = entry.text("template").strip()
    if text.count(_PLACEHOLDER) != 1:
        raise entry.fail("template", "must contain {prompt} exactly once")
    template = PromptTemplate(
        id=template_id,
        name=entry.text("name"),
        description=entry.text("description"),
        template=text,
        example=entry.text("example"),
    )
    entry.finish()
    return template
