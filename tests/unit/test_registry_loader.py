from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from registry.loader import default_folder, load_registry
from registry.request import check_request
from registry.spec import RegistryError

SEVEN_LINES = """\
falEndpoint = "fal-ai/your-endpoint"
category = "text-to-image"
requiredInputs = ["prompt"]
optionalInputs = ["seed", "guidance_scale"]
defaultOptions = { num_images = 1 }
costPerImage = 0.03
description = "Your model description"
"""
UNPRICED = SEVEN_LINES.replace("costPerImage = 0.03\n", "")
PRICE = '[[prices]]\nfrom = 2026-01-01\nunit = "image"\namount = 0.1\n'
MEGAPIXEL = PRICE.replace("image", "megapixel")


def write(folder: Path, text: str, name: str = "your-new-model") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(folder: Path, text: str) -> RegistryError:
    write(folder, text, "broken")
    with pytest.raises(RegistryError) as caught:
        load_registry(folder)
    return caught.value


def test_a_seven_line_entry_is_a_whole_model(tmp_path: Path) -> None:
    write(tmp_path, SEVEN_LINES)

    spec = load_registry(tmp_path).get("your-new-model")

    assert spec is not None
    assert (spec.name, spec.fal_endpoint) == ("your-new-model", "fal-ai/your-endpoint")
    assert (spec.category, spec.description) == ("text-to-image", "Your model description")
    assert (spec.required_inputs, spec.optional_inputs) == (("prompt",), ("seed", "guidance_scale"))
    assert (spec.option_names, spec.default_options) == (("num_images",), {"num_images": 1})
    assert [(price.unit, price.amount, price.start) for price in spec.prices] == [("image", Decimal("0.03"), date.min)]
    assert (spec.max_images_per_call, spec.output) == (4, "images")


def test_well_known_names_of_a_short_entry_have_types(tmp_path: Path) -> None:
    write(tmp_path, SEVEN_LINES)

    spec = load_registry(tmp_path).get("your-new-model")

    assert spec is not None
    assert {name: param.type for name, param in spec.params.items()} == {
        "prompt": "string",
        "seed": "integer",
        "guidance_scale": "number",
        "num_images": "integer",
    }


def test_later_folders_add_models_and_the_order_is_by_name(tmp_path: Path) -> None:
    write(tmp_path, SEVEN_LINES, "aaa")

    registry = load_registry(default_folder(), tmp_path)

    assert registry.names == tuple(sorted(registry.names))
    assert registry.names[0] == "aaa"
    assert len(registry) == 7
    assert [spec.name for spec in registry] == list(registry.names)


def test_the_same_name_in_two_folders_names_both_files(tmp_path: Path) -> None:
    path = write(tmp_path, SEVEN_LINES, "flux-pro")

    with pytest.raises(RegistryError) as caught:
        load_registry(default_folder(), tmp_path)

    assert str(path) in str(caught.value)
    assert "registry/models/flux-pro.toml" in str(caught.value)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="is not a folder"):
        load_registry(tmp_path / "none")


def test_an_error_names_file_key_and_reason(tmp_path: Path) -> None:
    error = refusal(tmp_path, SEVEN_LINES + "costPerImages = 3")

    assert error.file.endswith("broken.toml")
    assert error.key == "costPerImages"
    assert str(error) == f"{error.file}: costPerImages: {error.reason}"
    assert "Did you mean 'costPerImage'?" in error.reason


BROKEN = {
    "not TOML": ("falEndpoint = ", "", "not valid TOML"),
    "no endpoint": (SEVEN_LINES.replace("falEndpoint", "endpoint"), "falEndpoint", "missing"),
    "endpoint is a URL": (SEVEN_LINES.replace('"fal-ai/', '"https://fal.run/fal-ai/'), "falEndpoint", "owner/app"),
    "endpoint without owner": (SEVEN_LINES.replace("fal-ai/", ""), "falEndpoint", "owner/app"),
    "no category": (SEVEN_LINES.replace("category", "kind"), "category", "missing"),
    "empty description": (SEVEN_LINES.replace("Your model description", " "), "description", "empty"),
    "no required inputs": (SEVEN_LINES.replace("requiredInputs", "inputs"), "requiredInputs", "missing"),
    "inputs not a list": (SEVEN_LINES.replace('["prompt"]', '"prompt"'), "requiredInputs", "list of names"),
    "input not a name": (SEVEN_LINES.replace('["prompt"]', "[3]"), "requiredInputs[0]", "name in quotes"),
    "input listed twice": (SEVEN_LINES.replace('"seed",', '"seed", "seed",'), "optionalInputs[1]", "declared twice"),
    "required and optional": (SEVEN_LINES.replace('"seed"', '"prompt"'), "optionalInputs", "declared twice"),
    "input and option": (SEVEN_LINES + 'options = ["seed"]', "options", "declared twice"),
    "default of a required input": (
        SEVEN_LINES.replace("{ num_images", '{ prompt = "a", num_images'),
        "defaultOptions",
        "required",
    ),
    "default of wrong type": (
        SEVEN_LINES.replace("num_images = 1", 'num_images = "1"'),
        "defaultOptions.num_images",
        "int",
    ),
    "default out of range": (
        SEVEN_LINES.replace("num_images = 1", "num_images = 0"),
        "defaultOptions.num_images",
        "at least 1",
    ),
    "default is a date": (SEVEN_LINES.replace("num_images = 1", "x = 2026-01-01"), "defaultOptions.x", "must be"),
    "two shapes by default": (
        'options = ["image_size"]\n' + SEVEN_LINES.replace("num_images = 1", "image_size = 'square', aspect_ratio = '1:1'"),
        "defaultOptions",
        "use one",
    ),
    "no price": (UNPRICED, "costPerImage", "no price"),
    "price as text": (SEVEN_LINES.replace("0.03", '"0.03"'), "costPerImage", "number of USD"),
    "price is true": (SEVEN_LINES.replace("0.03", "true"), "costPerImage", "number of USD"),
    "negative price": (SEVEN_LINES.replace("0.03", "-0.03"), "costPerImage", "zero or more"),
    "infinite price": (SEVEN_LINES.replace("0.03", "inf"), "costPerImage", "finite"),
    "two kinds of price": (SEVEN_LINES + PRICE, "costPerImage", "keep one"),
    "unknown price key": (UNPRICED + PRICE + "tier = 3", "prices[0].tier", "unknown key"),
    "price without date": (UNPRICED + PRICE.replace("from = 2026-01-01", ""), "prices[0].from", "missing"),
    "price date as text": (UNPRICED + PRICE.replace("2026-01-01", '"2026-01-01"'), "prices[0].from", "without quotes"),
    "price date with time": (
        UNPRICED + PRICE.replace("2026-01-01", "2026-01-01T00:00:00Z"),
        "prices[0].from",
        "without a time",
    ),
    "price dates equal": (UNPRICED + PRICE + PRICE, "prices[1].from", "must be after 2026-01-01"),
    "price dates unsorted": (UNPRICED + PRICE + PRICE.replace("2026", "2025"), "prices[1].from", "sort by date"),
    "price id twice": (
        UNPRICED + PRICE + 'id = "a"\n' + PRICE.replace("2026", "2027") + 'id = "a"',
        "prices[1].id",
        "twice",
    ),
    "price unit": (UNPRICED + PRICE.replace('"image"', '"second"'), "prices[0].unit", "image, megapixel"),
    "price without amount": (UNPRICED + PRICE.replace("amount = 0.1", ""), "prices[0].amount", "missing"),
    "megapixel key of an image price": (
        UNPRICED + PRICE + "assumedMegapixels = 2",
        "prices[0].assumedMegapixels",
        "megapixel",
    ),
    "zero pixels in a megapixel": (
        UNPRICED + MEGAPIXEL + "pixelsPerMegapixel = 0",
        "prices[0].pixelsPerMegapixel",
        "at least 1",
    ),
    "tier of unknown option": (
        UNPRICED + PRICE + '[[prices.tiers]]\noption = "resolution"\nequals = "4K"\namount = 1',
        "prices[0].tiers[0].option",
        "no parameter 'resolution'",
    ),
    "tier no request can reach": (
        UNPRICED + PRICE + '[[prices.tiers]]\noption = "seed"\nequals = "4K"\namount = 1',
        "prices[0].tiers[0].equals",
        "no request",
    ),
    "tier twice": (
        UNPRICED + PRICE + '[[prices.tiers]]\noption = "seed"\nequals = 4\namount = 1\n' * 2,
        "prices[0].tiers[1]",
        "already",
    ),
    "extra without value": (
        UNPRICED + PRICE + '[[prices.extras]]\noption = "seed"\namount = 1',
        "prices[0].extras[0].equals",
        "missing",
    ),
    "described input not listed": (SEVEN_LINES + "[inputs.loras]", "inputs.loras", "not listed"),
    "unknown type": (SEVEN_LINES + '[inputs.seed]\ntype = "int"', "inputs.seed.type", "'int' is no type"),
    "key of another type": (SEVEN_LINES + "[inputs.seed]\nminLength = 3", "inputs.seed.minLength", "type integer"),
    "bounds crossed": (SEVEN_LINES + "[inputs.seed]\nminimum = 3\nmaximum = 2", "inputs.seed.maximum", "below"),
    "fal default out of range": (SEVEN_LINES + "[inputs.seed]\ndefault = -1", "inputs.seed.default", "at least 0"),
    "fal default not in enum": (
        SEVEN_LINES + "[options.acceleration]\ndefault = 'fast'",
        "options.acceleration.default",
        "one of",
    ),
    "enum of wrong type": (
        SEVEN_LINES + "[options.acceleration]\nenum = [3]",
        "options.acceleration.enum[0]",
        "string",
    ),
    "empty enum": (SEVEN_LINES + "[options.acceleration]\nenum = []", "options.acceleration.enum", "at least one"),
    "unknown preset": (SEVEN_LINES + "[options.image_size]\nenum = ['big']", "options.image_size.enum[0]", "no preset"),
    "pattern": (SEVEN_LINES + "[inputs.prompt]\npattern = '('", "inputs.prompt.pattern", "regular expression"),
    "required property not described": (
        SEVEN_LINES + "[options.x]\ntype = 'object'\nrequired = ['y']",
        "options.x.required",
        "not among",
    ),
    "bad item": (
        SEVEN_LINES + "[options.x]\ntype = 'array'\nitems = { kind = 3 }",
        "options.x.items.kind",
        "unknown key",
    ),
    "alias taken": (SEVEN_LINES + "[inputs.seed]\naliases = ['prompt']", "inputs.seed.aliases", "declared twice"),
    "per call above fal's": (
        "maxImagesPerCall = 4\n" + SEVEN_LINES + "[options.num_images]\nmaximum = 2",
        "maxImagesPerCall",
        "at most 2",
    ),
    "per call zero": (SEVEN_LINES + "maxImagesPerCall = 0", "maxImagesPerCall", "at least 1"),
    "several without num_images": (
        SEVEN_LINES.replace("num_images = 1", "") + "maxImagesPerCall = 2",
        "maxImagesPerCall",
        "at most 1",
    ),
    "output": (SEVEN_LINES + 'output = "video"', "output", "images, image"),
    "usual seconds": (SEVEN_LINES + "usualSeconds = 0", "usualSeconds", "more than 0"),
    "documentation": (SEVEN_LINES + 'documentation = "fal.ai"', "documentation", "https://"),
    "checked": (SEVEN_LINES + 'checked = "now"', "checked", "date"),
    "variant without input": (
        SEVEN_LINES + '[[variants]]\nwhenInput = "loras"\nmodel = "broken"',
        "variants[0].whenInput",
        "loras",
    ),
    "variant of a required input": (
        SEVEN_LINES + '[[variants]]\nwhenInput = "prompt"\nmodel = "broken"',
        "variants[0].whenInput",
        "required",
    ),
    "variant model unknown": (
        SEVEN_LINES + '[[variants]]\nwhenInput = "seed"\nmodel = "borken"',
        "variants[0].model",
        "Did you mean 'broken'?",
    ),
    "variant of a variant": (
        SEVEN_LINES + '[[variants]]\nwhenInput = "seed"\nmodel = "broken"',
        "variants[0].model",
        "of its own",
    ),
    "variants not tables": ("variants = [3]\n" + SEVEN_LINES, "variants[0]", "table"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_refused_by_key_and_reason(tmp_path: Path, fault: str) -> None:
    text, key, reason = BROKEN[fault]

    error = refusal(tmp_path, text)

    assert error.key == key
    assert reason in error.reason


def test_a_file_name_that_is_no_model_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path, SEVEN_LINES, "my model")

    with pytest.raises(RegistryError, match="file name is the model name"):
        load_registry(tmp_path)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b'category = "\xff"')

    with pytest.raises(RegistryError, match="not valid TOML"):
        load_registry(tmp_path)


def test_fals_limit_of_one_call_bounds_the_call_and_not_the_request(tmp_path: Path) -> None:
    write(tmp_path, SEVEN_LINES + "[options.num_images]\nmaximum = 2")

    spec = load_registry(tmp_path).get("your-new-model")

    assert spec is not None
    assert (spec.max_images_per_call, spec.params["num_images"].maximum) == (2, 100)


def test_an_optional_input_may_have_a_default_option(tmp_path: Path) -> None:
    text = SEVEN_LINES.replace("num_images = 1", "guidance_scale = 3.5, num_images = 2")
    write(tmp_path, text)

    request = check_request(load_registry(tmp_path), "your-new-model", {"prompt": "a"})

    assert request.arguments == {"prompt": "a", "guidance_scale": 3.5}
    assert request.options == {"guidance_scale": 3.5, "num_images": 2}
    assert request.num_images == 2


def test_options_may_be_a_list_of_names(tmp_path: Path) -> None:
    write(tmp_path, 'options = ["image_size", "tile_count"]\n' + SEVEN_LINES)

    spec = load_registry(tmp_path).get("your-new-model")

    assert spec is not None
    assert spec.option_names == ("image_size", "tile_count", "num_images")
    assert [spec.params[name].type for name in spec.option_names] == ["size", "any", "integer"]


def test_another_type_replaces_what_a_well_known_name_means(tmp_path: Path) -> None:
    write(tmp_path, SEVEN_LINES + '[options.image_size]\ntype = "string"\nenum = ["auto", "1024x1024"]')
    registry = load_registry(tmp_path)

    request = check_request(registry, "your-new-model", {"prompt": "a"}, {"image_size": "auto"})

    assert request.arguments["image_size"] == "auto"
