from pathlib import Path

import pytest

from registry.loader import load_prompt_templates
from registry.spec import RegistryError


def write(folder: Path, text: str) -> Path:
    path = folder / "prompts.toml"
    path.write_text(text, "utf-8")
    return path


FOCUS = "".join(
    f'[focus.{mode}]\nname = "n"\ndescription = "d"\nexample = "e"\ntemplate = "{{prompt}} {mode}"\n'
    for mode in ("subject", "face", "full_image")
)


TEMPLATE = '[[templates]]\nid = "one"\nname = "n"\ndescription = "d"\nexample = "e"\ntemplate = "x {prompt} y"\n'


def test_focus_modes_say_what_their_document_says_they_preserve() -> None:
    prompts = load_prompt_templates()

    subject, face, full = (prompts.focus(mode).enhance("P") for mode in ("subject", "face", "full_image"))

    assert all(word in subject for word in ("form", "shape", "proportions", "colors", "textures"))
    assert all(word in face for word in ("facial structure", "eyes", "nose", "mouth", "skin tone", "hair"))
    assert all(word in full for word in ("composition", "color palette", "lighting", "aesthetic"))
    assert all(text.endswith("New image: P") for text in (subject, face, full))


def test_shipped_templates_are_complete_and_distinct() -> None:
    prompts = load_prompt_templates()

    ids = [template.id for template in prompts.templates]

    assert 6 <= len(ids) == len(set(ids)) <= 8
    assert all(template.example in template.preview for template in prompts.templates)
    assert prompts.get(ids[0]) is prompts.templates[0]
    assert prompts.get("none") is None


@pytest.mark.parametrize("prompt", ["{", "}", "{0}", "{prompt}", "{prompt!r:>{x}}", "\\1 %s", "{{}}"])
def test_braces_of_the_user_mean_nothing(tmp_path: Path, prompt: str) -> None:
    prompts = load_prompt_templates(write(tmp_path, FOCUS + TEMPLATE))

    enhanced = prompts.templates[0].enhance(prompt)

    assert enhanced == f"x {prompt} y"


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        (TEMPLATE, "focus.subject", "missing"),
        (FOCUS.replace("{prompt} face", "face"), "focus.face.template", "exactly once"),
        (FOCUS.replace("{prompt} face", "{prompt} {prompt}"), "focus.face.template", "exactly once"),
        (FOCUS.replace("focus.face", "focus.hand"), "focus.face", "missing"),
        (FOCUS + "[focus.hand]\n", "focus.hand", "unknown key"),
        (FOCUS + TEMPLATE + TEMPLATE, "templates[1].id", "declared twice"),
        (FOCUS + TEMPLATE.replace('"one"', '"One Two"'), "templates[0].id", "lower-case"),
        (FOCUS + TEMPLATE + "extra = 1", "templates[0].extra", "unknown key"),
        (FOCUS + TEMPLATE.replace("example", "sample"), "templates[0].example", "missing"),
        ("x = 1\n" + FOCUS + TEMPLATE, "x", "unknown key"),
    ],
)
def test_a_broken_prompt_file_is_refused_by_key_and_reason(tmp_path: Path, text: str, key: str, reason: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(RegistryError) as caught:
        load_prompt_templates(path)

    assert caught.value.key == key
    assert reason in caught.value.reason


def test_an_unknown_focus_mode_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load_prompt_templates().focus("hand")
