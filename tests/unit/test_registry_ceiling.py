"""The largest image a model makes: the operator's, or its own file's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry.loader import Registry, RegistryError, load_registry
from registry.request import RequestRefused, check_options

HEAD = 'falEndpoint = "a/b"\ncategory = "c"\nrequiredInputs = ["prompt"]\ndescription = "d"\ncostPerImage = 1\n'


def model_of(folder: Path, text: str) -> Registry:
    (folder / "m.toml").write_text(HEAD + text)
    return load_registry(folder)


def refused(registry: Registry, options: dict[str, Any]) -> list[str]:
    try:
        check_options(registry, "m", None, options)
    except RequestRefused as exc:
        return [problem.pointer for problem in exc.problems]
    return []


@pytest.mark.parametrize(
    ("options", "pointers"),
    [
        ({}, ["/options/image_size"]),
        ({"image_size": "square"}, []),
        ({"image_size": "square_hd"}, ["/options/image_size"]),
        ({"aspect_ratio": "21:9"}, ["/options/aspect_ratio"]),
        ({"width": 1000, "height": 500}, []),
        ({"width": 1001, "height": 500}, ["/options/width"]),
        ({"image_size": {"width": 1, "height": 14142}}, []),
    ],
)
def test_every_way_of_asking_for_a_size_meets_the_ceiling(tmp_path: Path, options: dict[str, Any], pointers: list[str]) -> None:
    registry = model_of(tmp_path, '[options.image_size]\ndefault = "square_hd"\n').limited(0.5)

    assert refused(registry, options) == pointers


def test_a_model_that_has_width_and_height_of_its_own_meets_it_too(tmp_path: Path) -> None:
    text = '[options.width]\ntype = "integer"\ndefault = 512\n[options.height]\ntype = "integer"\ndefault = 512\n'
    registry = model_of(tmp_path, text).limited(0.5)

    assert (refused(registry, {}), refused(registry, {"height": 1000}), refused(registry, {"width": 10**9})) == (
        [],
        ["/options/height"],
        ["/options/width"],
    )


def test_a_size_just_above_the_ceiling_is_not_called_the_ceiling(tmp_path: Path) -> None:
    with pytest.raises(RequestRefused, match=r"image of 4\.21 megapixels; at most 4\.2 are allowed"):
        check_options(
            model_of(tmp_path, 'optionalInputs = ["image_size"]\nmaxMegapixels = 4.2\n'), "m", None, {"width": 2050, "height": 2049}
        )


def test_a_models_own_ceiling_wins(tmp_path: Path) -> None:
    registry = model_of(tmp_path, 'maxMegapixels = 16.5\noptions = ["image_size"]\n').limited(0.5)

    assert (refused(registry, {"width": 4096, "height": 4000}), refused(registry, {"width": 4096, "height": 4096})) == (
        [],
        ["/options/width"],
    )


def test_a_ceiling_is_more_than_nothing(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="maxMegapixels"):
        model_of(tmp_path, "maxMegapixels = 0\n")
