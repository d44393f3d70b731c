"""Reads what a client of the OpenAI Images API sends: JSON, or a form with pictures."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

from flask import Request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.http.bodies import UnsupportedMediaType, end_chunked_body, json_body, parse_json
from app.domain.errors import FieldError, InvalidRequest, TooLarge
from app.services.orders.files import File

MAX_IMAGES = 16
MAX_FORM_BYTES = 60 * 1024 * 1024
#: `image`, `image[]` or `image[0]`; the same of `mask`.
PICTURE = re.compile(r"(image|mask)(?:\[(\d{0,3})\])?")
DATA_URI = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
#: What JSON may call the pictures to edit, and within them their address.
IMAGES, ADDRESSES = ("image", "images"), ("image_url", "url")
Picture = File | str


@dataclass(frozen=True)
class Body:
    """`fields` hold no null. `is_text`: their values came as text, whatever they mean. A picture is a file, or its address."""

    fields: dict[str, Any]
    is_text: bool = False
    images: tuple[Picture, ...] = ()
    mask: Picture | None = None

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Return what tells this request from others; the boundary of a form, which changes with each try, is not in it."""
        pictures = {"images": [_digest(image) for image in self.images], "mask": self.mask and _digest(self.mask)}
        return {"fields": self.fields, **pictures}


def read_generation(req: Request) -> Body:
    return Body(_json(req))


def read_edit(req: Request) -> Body:
    """Read either form of an edit. Raises InvalidRequest, TooLarge, UnsupportedMediaType."""
    body = _form(req) if req.mimetype == "multipart/form-data" else _json_edit(_json(req))
    if not body.images:
        raise _wrong("image", "Send the image to edit: as a file, or in JSON as a URL or a data URI.")
    if len(body.images) > MAX_IMAGES:
        raise _wrong("image", f"Send at most {MAX_IMAGES} images, not {len(body.images)}.")
    return body


def _json(req: Request) -> dict[str, Any]:
    if req.mimetype != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json; an edit may be a form")
    return {name: value for name, value in json_body(req, parse_json).items() if value is not None}


def _json_edit(fields: dict[str, Any]) -> Body:
    given = [name for name in IMAGES if name in fields]
    if len(given) > 1:
        raise _wrong("image", "Give image or images, not both.")
    images = fields.pop(given[0]) if given else []
    listed = images if isinstance(images, list) else [images]
    mask = fields.pop("mask", None)
    return Body(
        fields,
        images=tuple(_addressed(image, "image") for image in listed),
        mask=None if mask is None else _addressed(mask, "mask"),
    )


def _addressed(value: Any, name: str) -> Picture:
    """Return a picture by its address. A data URI is a file that came as text: its declared type means nothing."""
    if isinstance(value, dict):
        value = next((value[key] for key in ADDRESSES if key in value), None)
    if not isinstance(value, str):
        raise _wrong(name, "Must be a URL, a data URI, or a list of them.")
    begin = DATA_URI.match(value)
    if begin is None:
        return value
    try:
        return File(io.BytesIO(base64.b64decode(value[begin.end() :], validate=True)))
    except binascii.Error as exc:
        raise _wrong(name, "The data URI is not valid base64.") from exc


def _form(req: Request) -> Body:
    req.max_content_length = MAX_FORM_BYTES
    end_chunked_body(req)
    try:
        files, texts = list(req.files.items(multi=True)), list(req.form.lists())
    except RequestEntityTooLarge as exc:
        raise TooLarge("The request is too large: its images may have 10MB each, and 60MB together") from exc
    pictures = _pictures(files)
    masks = pictures["mask"]
    if len(masks) > 1:
        raise _wrong("mask", "Send one mask only.")
    return Body(_texts(texts), is_text=True, images=tuple(pictures["image"]), mask=masks[0] if masks else None)


def _pictures(files: Iterable[tuple[str, FileStorage]]) -> dict[str, list[File]]:
    """Return the form's pictures, those with numbers in the order of their numbers. A part left empty in a browser is none."""
    found: dict[str, list[tuple[int, File]]] = {"image": [], "mask": []}
    for name, file in files:
        spelled = PICTURE.fullmatch(name)
        if spelled is None:
            raise _wrong(name[:100], "No such file is known here. Send image, image[] or mask.")
        if file.filename or not _is_empty(file.stream):
            found[spelled[1]].append((int(spelled[2] or 0), File(file.stream, file.filename)))
    return {name: [file for _, file in sorted(given, key=lambda pair: pair[0])] for name, given in found.items()}


def _texts(texts: Iterable[tuple[str, list[str]]]) -> dict[str, Any]:
    """Return the form's fields; one left empty counts as not given."""
    fields = {}
    for name, values in texts:
        if PICTURE.fullmatch(name):
            raise _wrong(name, "Send the image as a file, or the whole request as JSON with its URL.")
        if len(values) > 1:
            raise _wrong(name[:100], "Given more than once.")
        if values[0] != "":
            fields[name] = values[0]
    return fields


def _wrong(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: {detail}", [FieldError(f"/{name}", detail)])


def _is_empty(stream: IO[bytes]) -> bool:
    empty = not stream.read(1)
    stream.seek(0)
    return empty


def _digest(picture: Picture) -> str:
    if isinstance(picture, str):
        return hashlib.sha256(picture.encode("utf-8", "surrogatepass")).hexdigest()
    digest = hashlib.file_digest(picture.stream, "sha256").hexdigest()  # type: ignore[arg-type]
    picture.stream.seek(0)
    return digest
