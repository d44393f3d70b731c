from __future__ import annotations

import base64
import io
import time
from typing import Any

import pytest
from PIL import Image

from tests.support.emulator import Emulator
from tests.support.fal_calls import BANANA, FLUX, KEY, completed, data_uri, first_file, run


@pytest.mark.parametrize(
    ("endpoint", "arguments", "field", "kind"),
    [
        (FLUX, {}, "prompt", "missing"),
        (BANANA, {"prompt": "x"}, "image_urls", "missing"),
        ("fal-ai/flux/dev/image-to-image", {"prompt": "x"}, "image_url", "missing"),
        ("fal-ai/face-swap", {"base_image_url": "https://a.example/b.png"}, "swap_image_url", "missing"),
        (FLUX, {"prompt": "x", "num_images": 5}, "num_images", "less_than_equal"),
        (FLUX, {"prompt": "x", "output_format": "webp"}, "output_format", "literal_error"),
        (FLUX, {"prompt": "x", "image_size": "vast"}, "image_size", "literal_error"),
    ],
)
def test_wrong_inputs_end_as_fal_ends_them(fal: Emulator, endpoint: str, arguments: dict[str, Any], field: str, kind: str) -> None:
    submitted = fal.http.post(f"/{endpoint}", json=arguments, headers=KEY).json()
    status = completed(fal, submitted)

    result = fal.http.get(submitted["response_url"], headers=KEY)

    assert status["error_type"] == kind
    assert result.status_code == 422
    assert result.json()["detail"][0]["loc"] == ["body", field]
    assert result.json()["detail"][0]["type"] == kind
    assert result.headers["X-Fal-Billable-Units"] == "0"


@pytest.mark.parametrize(
    ("endpoint", "arguments", "size", "file_format"),
    [
        (FLUX, {}, (1024, 768), "JPEG"),
        (FLUX, {"image_size": {"width": 321, "height": 200}, "output_format": "png"}, (321, 200), "PNG"),
        ("fal-ai/flux-pro/v1.1", {"image_size": "square"}, (512, 512), "JPEG"),
        ("fal-ai/flux/dev/image-to-image", {"image_url": data_uri(300, 150)}, (300, 150), "JPEG"),
        (BANANA, {"image_urls": [data_uri(64, 64)], "aspect_ratio": "16:9"}, (1360, 768), "PNG"),
        (BANANA, {"image_urls": [data_uri(8, 8)], "resolution": "2K", "output_format": "webp"}, (2048, 2048), "WEBP"),
    ],
)
def test_a_picture_has_the_asked_size_and_format(
    fal: Emulator, endpoint: str, arguments: dict[str, Any], size: tuple[int, int], file_format: str
) -> None:
    image = run(fal, endpoint, **arguments).json()["images"][0]

    response = fal.http.get(image["url"])

    with Image.open(io.BytesIO(response.content)) as picture:
        picture.load()
        assert (picture.size, picture.format) == (size, file_format)
    assert response.headers["Content-Type"] == image["content_type"] == f"image/{file_format.lower()}"
    assert ("width" in image) == (endpoint != BANANA)


def test_the_pictures_of_one_prompt_differ_and_a_repeated_one_comes_from_memory(fal: Emulator) -> None:
    prompt = f"a heart, {time.time()}"
    before = fal.stats()

    files = [image["url"] for _ in range(2) for image in run(fal, prompt=prompt, num_images=2).json()["images"]]
    bodies = [fal.http.get(url).content for url in files]

    after = fal.stats()
    assert bodies[0] == bodies[2]
    assert bodies[0] != bodies[1]
    assert after["picturesPainted"] - before["picturesPainted"] == 2
    assert after["picturesFromMemory"] - before["picturesFromMemory"] == 2


def test_flux_returns_a_seed_beyond_signed_64_bit_unless_one_was_given(fal: Emulator) -> None:
    free, fixed = run(fal).json(), run(fal, seed=42).json()

    assert free["seed"] >= 2**63
    assert fixed["seed"] == 42
    assert free["has_nsfw_concepts"] == [False]
    assert free["prompt"] == "a red bicycle"
    assert free["timings"]["inference"] > 0


def test_face_swap_returns_one_image(fal: Emulator) -> None:
    body = run(fal, "fal-ai/face-swap", base_image_url=data_uri(20, 30), swap_image_url=data_uri(9, 9)).json()

    assert (body["image"]["width"], body["image"]["height"]) == (20, 30)


def test_sync_mode_puts_the_picture_into_the_answer(fal: Emulator) -> None:
    url = first_file(fal, sync_mode=True, image_size="square")

    head, _, encoded = url.partition(",")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        assert (head, picture.size) == ("data:image/jpeg;base64", (512, 512))


def test_the_result_tells_the_billed_units(fal: Emulator) -> None:
    megapixels = run(fal, num_images=2, image_size={"width": 1500, "height": 1000})
    pictures = run(fal, BANANA, image_urls=[data_uri(8, 8)], resolution="4K")

    assert megapixels.headers["X-Fal-Billable-Units"] == "4"
    assert pictures.headers["X-Fal-Billable-Units"] == "2"


def test_another_endpoint_of_fal_takes_a_prompt(fal: Emulator) -> None:
    assert len(run(fal, "fal-ai/some-new-model", num_images=3).json()["images"]) == 3
