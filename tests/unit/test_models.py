"""The models that ship: what the contract names and what fal takes."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from app.domain.pricing import list_price
from registry.loader import load_registry
from registry.request import check_options

REGISTRY = load_registry()
NOW = datetime(2026, 10, 1, tzinfo=UTC)

CONTRACT = {
    "face-swap": ("fal-ai/face-swap", "Swap faces between images"),
    "flux-dev": ("fal-ai/flux/dev", "Fast text-to-image with LoRA support"),
    "flux-dev-image-to-image": ("fal-ai/flux/dev/image-to-image", "Transform existing images"),
    "flux-lora": ("fal-ai/flux-lora", "Text-to-image with custom LoRAs"),
    "flux-pro": ("fal-ai/flux-pro/v1.1", "High-quality text-to-image"),
    "nano-banana-edit": ("fal-ai/nano-banana-pro/edit", "Edit existing images"),
}
REQUIRED = {
    "face-swap": ("base_image_url", "swap_image_url"),
    "flux-dev": ("prompt",),
    "flux-dev-image-to-image": ("prompt", "image_url"),
    "flux-lora": ("prompt",),
    "flux-pro": ("prompt",),
    "nano-banana-edit": ("prompt", "image_urls"),
}
FAL_DEFAULTS = {
    "face-swap": {},
    "flux-dev": {
        "guidance_scale": 3.5,
        "num_inference_steps": 28,
        "image_size": "landscape_4_3",
        "enable_safety_checker": True,
        "output_format": "jpeg",
        "acceleration": "none",
        "sync_mode": False,
        "num_images": 1,
    },
    "flux-dev-image-to-image": {
        "strength": 0.95,
        "guidance_scale": 3.5,
        "num_inference_steps": 40,
        "enable_safety_checker": True,
        "output_format": "jpeg",
        "acceleration": "none",
        "sync_mode": False,
        "num_images": 1,
    },
    "flux-lora": {
        "loras": [],
        "guidance_scale": 3.5,
        "num_inference_steps": 28,
        "image_size": "landscape_4_3",
        "enable_safety_checker": True,
        "output_format": "jpeg",
        "acceleration": "none",
        "sync_mode": False,
        "num_images": 1,
    },
    "flux-pro": {
        "image_size": "landscape_4_3",
        "output_format": "jpeg",
        "safety_tolerance": "2",
        "enhance_prompt": False,
        "sync_mode": False,
        "num_images": 1,
    },
    "nano-banana-edit": {
        "aspect_ratio": "auto",
        "resolution": "1K",
        "output_format": "png",
        "safety_tolerance": "4",
        "limit_generations": True,
        "enable_web_search": False,
        "sync_mode": False,
        "num_images": 1,
    },
}
RANGES = {
    ("flux-dev", "num_inference_steps"): (1, 50),
    ("flux-dev", "guidance_scale"): (1, 20),
    ("flux-lora", "num_inference_steps"): (1, 50),
    ("flux-lora", "guidance_scale"): (0, 35),
    ("flux-dev-image-to-image", "strength"): (0.01, 1),
    ("flux-dev-image-to-image", "num_inference_steps"): (10, 50),
    ("flux-dev-image-to-image", "guidance_scale"): (1, 20),
}


def test_exactly_the_models_of_the_contract_ship() -> None:
    assert {spec.name: (spec.fal_endpoint, spec.description) for spec in REGISTRY} == CONTRACT


@pytest.mark.parametrize("name", CONTRACT)
def test_required_inputs_are_fals(name: str) -> None:
    assert REGISTRY.get(name).required_inputs == REQUIRED[name]


@pytest.mark.parametrize("name", CONTRACT)
def test_documented_defaults_are_fals(name: str) -> None:
    params = REGISTRY.get(name).params

    defaults = {param.name: param.default for param in params.values() if param.default is not None}

    assert defaults == FAL_DEFAULTS[name]


@pytest.mark.parametrize(("name", "param"), RANGES)
def test_ranges_are_fals(name: str, param: str) -> None:
    found = REGISTRY.get(name).params[param]

    assert (found.minimum, found.maximum) == RANGES[name, param]


@pytest.mark.parametrize("name", CONTRACT)
def test_models_that_take_num_images_make_four_in_one_call(name: str) -> None:
    spec = REGISTRY.get(name)

    assert spec.max_images_per_call == (4 if "num_images" in spec.params else 1)
    assert spec.default_options == ({"num_images": 1} if "num_images" in spec.params else {})


def test_only_face_swap_answers_with_one_image() -> None:
    assert [spec.name for spec in REGISTRY if spec.output == "image"] == ["face-swap"]


@pytest.mark.parametrize("name", CONTRACT)
def test_every_model_is_priced_and_its_defaults_are_allowed(name: str) -> None:
    spec = REGISTRY.get(name)

    request = check_options(REGISTRY, name, None, dict(spec.default_options))

    assert request.options == spec.default_options
    assert list_price(spec, NOW) > 0


@pytest.mark.parametrize("name", CONTRACT)
def test_no_price_starts_in_the_future_of_its_check(name: str) -> None:
    for price in REGISTRY.get(name).prices:
        assert price.start <= (price.checked or date(2026, 10, 1))


def test_the_registry_imports_only_the_standard_library() -> None:
    sources = Path(load_registry.__code__.co_filename).parent.glob("*.py")
    lines = [line for source in sources for line in source.read_text().splitlines() if line.startswith(("import ", "from "))]

    modules = {line.split()[1].split(".")[0] for line in lines}

    assert modules <= {
        "collections", "dataclasses", "datetime", "decimal", "difflib", "fnmatch", "functools", "itertools",
        "math", "pathlib", "re", "registry", "tomllib", "typing",
    }  # fmt: skip
