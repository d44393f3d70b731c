"""What a finished request answers: the model's output, or the failure that was ordered. No HTTP here."""

import base64
import binascii
import hashlib
import io
import uuid
from typing import Any

from PIL import Image, UnidentifiedImageError

from scripts.fal_emulator import endpoints
from scripts.fal_emulator.faults import without_directives
from scripts.fal_emulator.painter import Painter, Picture
from scripts.fal_emulator.references import Reference
from scripts.fal_emulator.state import Answer, File, Job, State

# The first part of a data URI is enough for the size: headers come first, large EXIF blocks included.
HEADER_CHARACTERS = 400_000
METADATA_URL = "http://169.254.169.254/latest/meta-data/"
FILE_OUTCOMES = frozenset({
    "not_an_image", "missing_file", "huge_file", "bomb", "truncated_file", "redirect_private", "slow_file",
})  # fmt: skip


def input_size(arguments: dict[str, Any]) -> tuple[int, int] | None:
    """Return the size of the first reference picture when it came as a data URI; links are not followed."""
    urls = arguments.get("image_urls")
    first = urls[0] if isinstance(urls, list) and urls else arguments.get("image_url", arguments.get("base_image_url"))
    if not isinstance(first, str) or not first.startswith("data:"):
        return None
    encoded = first.partition(",")[2][:HEADER_CHARACTERS]
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded[: len(encoded) // 4 * 4]))) as image:
            return image.size
    except (binascii.Error, UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None


def failure(job: Job) -> Answer | None:
    """Return the answer of a request that fails, with `job.error` and `job.error_type` set; None: it succeeds."""
    if job.canceled:
        return _fail(job, 499, "Request was cancelled by the client", "client_cancelled")
    if job.invalid:
        job.error, job.error_type = "Invalid status code: 422", str(job.invalid[0]["type"])
        return Answer(422, {"detail": job.invalid}, {"X-Fal-Billable-Units": "0"})
    if job.outcome == "content_policy":
        text = "The content could not be processed because it contained material flagged by a content checker."
        job.error, job.error_type = text, "content_policy_violation"
        problem = {"loc": ["body", "prompt"], "msg": text, "type": job.error_type, "input": {"prompt": job.prompt}}
        return Answer(422, {"detail": [problem]}, {"X-Fal-Retryable": "false"})
    if job.outcome == "error_500":
        return _fail(job, 500, "Internal server error", "runner_server_error")
    if job.outcome == "html_result":
        return Answer(200, "<!doctype html><title>Welcome</title><p>This is not a result.</p>")
    return None


def _fail(job: Job, status: int, text: str, error_type: str) -> Answer:
    job.error, job.error_type = text, error_type
    return Answer(status, {"detail": text, "error_type": error_type}, {"X-Fal-Error-Type": error_type})


async def success(job: Job, state: State, painter: Painter, base_url: str) -> Answer:
    """Return the model's output; its pictures are painted later, unless sync_mode wants them in the answer."""
    spec, arguments = endpoints.find(job.endpoint), job.arguments or {}
    if spec is None:
        raise LookupError(job.endpoint)
    size = endpoints.size_of(spec, arguments, job.input_size)
    pictures = _pictures(job, spec, size, await job.references if job.references else ())
    job.references = None
    images = []
    for picture in pictures:
        if arguments.get("sync_mode") is True:
            encoded = base64.b64encode(await painter.get(picture)).decode()
            url = f"data:image/{picture.file_format};base64,{encoded}"
        else:
            url = _promise(job, picture, state, base_url)
        images.append(_image(spec, picture, url))
    units = endpoints.billable_units(spec, arguments, size, len(images))
    return Answer(200, _body(job, spec, images), {"X-Fal-Billable-Units": f"{units:g}"})


def _pictures(job: Job, spec: endpoints.Endpoint, size: tuple[int, int], references: tuple[Reference, ...]) -> list[Picture]:
    arguments = job.arguments or {}
    count = 1 if spec.shape == "swap" else arguments.get("num_images") or 1
    count = {"fewer": count - 1, "none": 0}.get(job.outcome or "", count)
    seed = arguments.get("seed")
    return [
        Picture(
            prompt="face swap" if spec.shape == "swap" else without_directives(job.prompt),
            width=size[0],
            height=size[1],
            file_format=arguments.get("output_format") or spec.formats[0],
            index=index,
            seed=seed if isinstance(seed, int) else None,
            label=job.endpoint,
            references=references,
        )
        for index in range(count)
    ]


def _promise(job: Job, picture: Picture, state: State, base_url: str) -> str:
    if job.outcome == "private_url":
        return METADATA_URL
    extension = "jpg" if picture.file_format == "jpeg" else picture.file_format
    file_id = f"{uuid.uuid4().hex}.{extension}"
    state.files[file_id] = File(job, picture, job.outcome if job.outcome in FILE_OUTCOMES else None)
    job.files.append(file_id)
    return f"{base_url}/files/{file_id}"


def _image(spec: endpoints.Endpoint, picture: Picture, url: str) -> dict[str, Any]:
    image: dict[str, Any] = {"url": url, "content_type": f"image/{picture.file_format}"}
    if not url.startswith("data:"):
        image["file_name"] = url.rpartition("/")[2]
    if spec.shape == "nano":
        return image  # fal often leaves width and height out for this family.
    return image | {"width": picture.width, "height": picture.height}


def _body(job: Job, spec: endpoints.Endpoint, images: list[dict[str, Any]]) -> dict[str, Any]:
    if spec.shape == "swap":
        return {"image": images[0]} if images else {}
    if spec.shape == "nano":
        return {"images": images, "description": ""}
    seed = (job.arguments or {}).get("seed")
    return {
        "images": images,
        "timings": {"inference": round(job.seconds, 3)},
        "seed": seed if isinstance(seed, int) else _large_seed(job.request_id),
        "has_nsfw_concepts": [job.outcome == "nsfw" for _ in images],
        "prompt": job.prompt,
    }


def _large_seed(request_id: str) -> int:
    """A seed beyond signed 64-bit, as fal's own samples show: whoever stores it as an integer must notice."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8]) | 1 << 63
