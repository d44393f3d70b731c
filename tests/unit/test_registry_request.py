from typing import Any

import pytest

from registry.loader import load_registry
from registry.request import (
    CheckedRequest,
    Problem,
    RequestRefused,
    UnknownModel,
    check_options,
    check_request,
    split_images,
)

Args = dict[str, Any]

REGISTRY = load_registry()
UPLOAD = "upload:0190c5d0-7a3f-7c1e-9b1a-3f2f5a7c9e11"
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def check(model: str, inputs: Any, options: Any = None) -> CheckedRequest:
    return check_request(REGISTRY, model, inputs, options)


def refused(model: str, inputs: Any, options: Any = None) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        check(model, inputs, options)
    return caught.value


def problem(model: str, inputs: Any, options: Any = None) -> Problem:
    (only,) = refused(model, inputs, options).problems
    return only


CONTRACT = [
    (
        {"model": "flux-pro", "inputs": {"prompt": "A professional headshot of a business consultant"}},
        {"prompt": "A professional headshot of a business consultant"},
    ),
    (
        {
            "model": "nano-banana-edit",
            "inputs": {
                "prompt": "Transform this billboard for an SEO workshop. Change text to: THE DEFINITIVE MULTIMODAL SEO WORKSHOP",
                "image_urls": ["https://your-template.jpg"],
            },
            "options": {"aspect_ratio": "9:16", "resolution": "2K"},
        },
        {
            "prompt": "Transform this billboard for an SEO workshop. Change text to: THE DEFINITIVE MULTIMODAL SEO WORKSHOP",
            "image_urls": ["https://your-template.jpg"],
            "aspect_ratio": "9:16",
            "resolution": "2K",
        },
    ),
    (
        {
            "model": "nano-banana-edit",
            "inputs": {
                "prompt": "Replace the person in the second image",
                "image_urls": ["https://s3.../jesse-reference.jpg", "https://s3.../ad-template.jpg"],
            },
            "options": {"aspect_ratio": "1:1", "resolution": "2K", "output_format": "png"},
        },
        {
            "prompt": "Replace the person in the second image",
            "image_urls": ["https://s3.../jesse-reference.jpg", "https://s3.../ad-template.jpg"],
            "aspect_ratio": "1:1",
            "resolution": "2K",
            "output_format": "png",
        },
    ),
    (
        {
            "model": "flux-lora",
            "inputs": {
                "prompt": "Professional headshot of jf in a suit",
                "loras": [
                    {
                        "path": "https://content-generation-assets.s3.amazonaws.com/loras/user/job/v1/model.safetensors",
                        "scale": 0.8,
                    }
                ],
            },
            "options": {"width": 1024, "height": 1024},
        },
        {
            "prompt": "Professional headshot of jf in a suit",
            "loras": [
                {
                    "path": "https://content-generation-assets.s3.amazonaws.com/loras/user/job/v1/model.safetensors",
                    "scale": 0.8,
                }
            ],
            "image_size": {"width": 1024, "height": 1024},
        },
    ),
    (
        {
            "model": "nano-banana-edit",
            "inputs": {"prompt": "prompt", "image_urls": [PIXEL]},
            "options": {"aspect_ratio": "9:16", "resolution": "2K", "num_images": 1},
        },
        {"prompt": "prompt", "image_urls": [PIXEL], "aspect_ratio": "9:16", "resolution": "2K"},
    ),
]


@pytest.mark.parametrize(("body", "arguments"), CONTRACT)
def test_bodies_of_the_contract_pass_and_become_what_fal_takes(body: Args, arguments: Args) -> None:
    request = check(body["model"], body["inputs"], body.get("options"))

    assert request.arguments == arguments
    assert request.num_images == 1


def test_the_contracts_estimate_needs_no_inputs() -> None:
    request = check_options(REGISTRY, "flux-pro", None, {"num_images": 10})

    assert request.num_images == 10
    assert (request.inputs, request.options, request.arguments) == ({}, {"num_images": 10}, {})


def test_an_estimate_still_refuses_what_is_wrong() -> None:
    with pytest.raises(RequestRefused) as caught:
        check_options(REGISTRY, "flux-pro", {"prompt": 3}, {"num_image": 10})

    assert [found.pointer for found in caught.value.problems] == ["/inputs/prompt", "/options/num_image"]


def test_an_unknown_model_lists_the_valid_ones_and_a_near_miss() -> None:
    with pytest.raises(UnknownModel) as caught:
        check("flux-por", {})

    assert caught.value.name == "flux-por"
    assert caught.value.valid == REGISTRY.names
    assert "Did you mean 'flux-pro'?" in str(caught.value)
    assert all(name in str(caught.value) for name in REGISTRY.names)


@pytest.mark.parametrize("name", [None, 3, [], {}, "", "FLUX-PRO", "fal-ai/flux-pro"])
def test_only_exact_model_names_count(name: Any) -> None:
    with pytest.raises(UnknownModel):
        check(name, {"prompt": "a"})


def test_every_missing_input_is_named() -> None:
    error = refused("nano-banana-edit", {})

    assert error.missing == ("prompt", "image_urls")
    assert [found.pointer for found in error.problems] == ["/inputs/prompt", "/inputs/image_urls"]
    assert "prompt, image_urls" in str(error)


def test_a_required_input_in_options_is_told_where_it_belongs() -> None:
    error = refused("flux-pro", {}, {"prompt": "a"})

    assert error.problems[0].detail == "'prompt' belongs in inputs"
    assert error.missing == ("prompt",)


def test_a_typo_is_named_with_a_guess_and_what_is_allowed() -> None:
    found = problem("flux-pro", {"prompt": "a"}, {"output_fromat": "png"})

    assert (found.pointer, found.kind) == ("/options/output_fromat", "unknown")
    assert "Did you mean 'output_format'?" in found.detail
    assert "image_size" in found.detail
    assert " prompt," not in found.detail


@pytest.mark.parametrize(("inputs", "options"), [({"seed": 7}, {}), ({}, {"seed": 7})])
def test_optional_parameters_mean_the_same_in_either_object(inputs: Any, options: Any) -> None:
    request = check("flux-pro", {"prompt": "a", **inputs}, options)

    assert request.arguments == {"prompt": "a", "seed": 7}


def test_the_same_parameter_in_both_objects_is_refused() -> None:
    found = problem("flux-pro", {"prompt": "a", "seed": 7}, {"seed": 7})

    assert found.pointer == "/options/seed"
    assert "given twice" in found.detail


def test_an_alias_is_the_parameter_itself() -> None:
    request = check("face-swap", {"image_url": "https://a/b.jpg", "swap_image_url": UPLOAD})

    assert request.inputs == {"base_image_url": "https://a/b.jpg", "swap_image_url": UPLOAD}
    assert request.arguments == request.inputs
    assert request.image_inputs == ("/base_image_url", "/swap_image_url")


def test_an_alias_beside_its_parameter_is_refused() -> None:
    found = problem("face-swap", {"image_url": UPLOAD, "base_image_url": UPLOAD, "swap_image_url": UPLOAD})

    assert "given twice" in found.detail


def test_images_inside_lists_are_pointed_at() -> None:
    request = check("nano-banana-edit", {"prompt": "abc", "image_urls": [UPLOAD, PIXEL]})

    assert request.image_inputs == ("/image_urls/0", "/image_urls/1")


def test_the_result_does_not_share_the_callers_lists() -> None:
    images = [UPLOAD]
    request = check("nano-banana-edit", {"prompt": "abc", "image_urls": images})

    images.append("x")

    assert request.arguments["image_urls"] == [UPLOAD]


@pytest.mark.parametrize("place", ["inputs", "options"])
def test_flux_dev_with_loras_is_called_as_flux_lora(place: str) -> None:
    body = {"inputs": {"prompt": "a"}, "options": {}}
    body[place]["loras"] = [{"path": "a/b"}]

    request = check("flux-dev", body["inputs"], body["options"])

    assert (request.model, request.spec.name) == ("flux-dev", "flux-lora")
    assert request.spec.fal_endpoint == "fal-ai/flux-lora"
    assert request.arguments == {"prompt": "a", "loras": [{"path": "a/b"}]}


def test_flux_dev_with_loras_is_checked_as_flux_lora() -> None:
    found = problem("flux-dev", {"prompt": "a", "loras": [{"path": "a/b"}]}, {"acceleration": "high"})

    assert found.detail == "must be one of none, regular"


def test_an_empty_list_of_loras_counts_as_none() -> None:
    request = check("flux-dev", {"prompt": "a", "loras": []}, {"acceleration": "high"})

    assert request.spec.name == "flux-dev"
    assert request.arguments == {"prompt": "a", "acceleration": "high"}


@pytest.mark.parametrize("loras", [None, "a/b", {}, 0, False])
def test_loras_of_a_wrong_type_are_refused(loras: object) -> None:
    found = problem("flux-dev", {"prompt": "a", "loras": loras})

    assert "must be a list" in found.detail


@pytest.mark.parametrize(("inputs", "options"), [([], {}), ("a", {}), ({"prompt": "a"}, [1])])
def test_inputs_and_options_are_objects(inputs: Any, options: Any) -> None:
    error = refused("flux-pro", inputs, options)

    assert "must be an object" in str(error)


def test_pointers_are_escaped_and_long_names_cut() -> None:
    slash = problem("flux-pro", {"prompt": "a", "a/b~c": 1})
    long = problem("flux-pro", {"prompt": "a", "x" * 5000: 1})

    assert slash.pointer == "/inputs/a~1b~0c"
    assert len(long.detail) < 1000


@pytest.mark.parametrize(("model", "sent"), [("flux-pro", {"prompt": "a", "num_images": 4}), ("face-swap", None)])
def test_num_images_is_sent_only_to_models_that_have_it(model: str, sent: Args | None) -> None:
    inputs = {"prompt": "a"} if sent else {"base_image_url": UPLOAD, "swap_image_url": UPLOAD}

    request = check(model, inputs)

    assert ("num_images" in request.spec.params) == (sent is not None)
    assert request.arguments == {name: value for name, value in (sent or inputs).items() if name != "num_images"}


@pytest.mark.parametrize(
    ("total", "per_call", "calls"),
    [
        (10, 4, (4, 4, 2)),
        (1, 4, (1,)),
        (4, 4, (4,)),
        (5, 4, (4, 1)),
        (8, 4, (4, 4)),
        (3, 1, (1, 1, 1)),
        (100, 4, (4,) * 25),
    ],
)
def test_images_are_split_over_calls(total: int, per_call: int, calls: tuple[int, ...]) -> None:
    assert split_images(total, per_call) == calls


@pytest.mark.parametrize(("body", "_arguments"), CONTRACT)
def test_checking_the_outcome_again_changes_nothing(body: Args, _arguments: Args) -> None:
    first = check(body["model"], body["inputs"], body.get("options"))

    second = check(first.model, first.inputs, first.options)

    assert second == first


def test_a_body_of_a_hundred_thousand_faults_is_refused_at_once_and_briefly() -> None:
    error = refused("flux-lora", {"prompt": "a", "loras": [3] * 100_000, **{f"x{n}": n for n in range(100_000)}})

    assert len(error.problems) <= 100
    assert error.missing == ()
