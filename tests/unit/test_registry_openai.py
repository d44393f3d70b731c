"""What OpenAI's words mean to the models, and files that say it wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.loader import load_registry
from registry.openai import load_openai_rules
from registry.spec import RegistryError

REGISTRY = load_registry()
RULES = load_openai_rules(REGISTRY)
GOOD = """
[default]
generate = "flux-pro"
edit = "nano-banana-edit"
[[aliases]]
names = ["dall-e-3"]
patterns = ["dall-e-*"]
generate = "flux-dev"
edit = "nano-banana-edit"
[parameters.quality]
values = ["low", "high"]
[images]
inputs = ["image_urls"]
[masks]
inputs = ["mask_url"]
style = "white"
[models.nano-banana-edit.quality]
high = { resolution = "2K" }
"""


def test_a_name_stands_for_who_draws_and_for_who_edits() -> None:
    assert RULES.model_of("gpt-image-1", edit=False) == RULES.model_of(None, edit=False) == "flux-pro"
    assert RULES.model_of("gpt-image-2.6-flare-2026-09-08", edit=True) == RULES.model_of(None, edit=True) == "nano-banana-edit"
    assert RULES.model_of("gpt-4o", edit=False) is None


def test_pictures_go_where_the_model_needs_them() -> None:
    places = {spec.name: [param.name for param in RULES.images_of(spec)] for spec in REGISTRY}

    assert places["nano-banana-edit"] == ["image_urls"]
    assert places["face-swap"] == ["base_image_url", "swap_image_url"]
    assert places["flux-pro"] == []


def test_a_value_means_options_of_the_model_and_nothing_where_it_has_none() -> None:
    assert RULES.options_of("nano-banana-edit", "quality", "max") == {"resolution": "4K"}
    assert RULES.options_of("flux-pro", "quality", "max") is None


def test_an_operators_file_takes_the_place_of_the_one_that_ships(tmp_path: Path) -> None:
    (tmp_path / "openai.toml").write_text(GOOD)

    rules = load_openai_rules(REGISTRY, tmp_path)

    assert rules.model_of("dall-e-3", edit=False) == "flux-dev"
    assert rules.model_of("gpt-image-1", edit=False) is None


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        ('"flux-pro"', '"flux-por"', "default.generate", "Did you mean 'flux-pro'?"),
        ('"flux-dev"', '"face-swap"', "generate", "needs pictures"),
        ('edit = "nano-banana-edit"\n[[', 'edit = "flux-dev"\n[[', "edit", "takes no pictures"),
        ('"dall-e-3"', '"flux-dev"', "aliases[0].names", "a model of its own"),
        ('values = ["low", "high"]', 'values = ["low"]\nneedsRule = ["high"]', "parameters.quality.needsRule", "not among the values"),
        ('"white"', '"green"', "masks.style", "white, alpha"),
        ("[models.nano-banana-edit.quality]", "[models.nano-banana.quality]", "models.nano-banana", "Did you mean"),
        ("[models.nano-banana-edit.quality]", "[models.nano-banana-edit.qualty]", "models.nano-banana-edit.qualty", "unknown key"),
        ("resolution =", "resolutoin =", "models.nano-banana-edit.quality.high.resolutoin", "Did you mean 'resolution'?"),
        ('"2K"', '"3K"', "models.nano-banana-edit.quality.high.resolution", "1K, 2K, 4K"),
        ("[images]", "[pictures]", "pictures", "unknown key"),
    ],
)
def test_a_fault_in_the_file_is_named_with_its_key(tmp_path: Path, old: str, new: str, key: str, reason: str) -> None:
    assert GOOD.count(old) >= 1
    (tmp_path / "openai.toml").write_text(GOOD.replace(old, new, 1))

    with pytest.raises(RegistryError) as fault:
        load_openai_rules(REGISTRY, tmp_path)

    assert (fault.value.key, reason in fault.value.reason) == (key, True), fault.value
