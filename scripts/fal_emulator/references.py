"""The pictures that a request brings along: made small, and pasted into what is painted, so that one sees which arrived. No HTTP here."""

import base64
import binascii
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from scripts.fal_emulator.lettering import font_of

#: Thousands of requests are remembered, so what is kept of a picture is small. Longest side in pixels.
KEPT_SIDE = 512
MOST = 14
FACE, BASE = "swap_image_url", "base_image_url"
WHITE, DARK = (255, 255, 255), (40, 42, 54)


@dataclass(frozen=True)
class Reference:
    """A picture under its input's name; `content` is a small JPEG, empty for a link, which the emulator does not follow."""

    name: str
    content: bytes

    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content)) if self.content else _link()


def uris_of(arguments: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and address of each picture, in fal's order: what is worked on first."""
    names = sorted((name for name in arguments if "image_url" in name or name == "mask_url"), key=lambda name: (name != BASE, name == FACE))
    values = [(name, value) for name in names for value in _listed(arguments[name]) if isinstance(value, str)]
    return values[:MOST]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def read(uris: list[tuple[str, str]]) -> tuple[Reference, ...]:
    """Decode and shrink pictures; what is no picture is left out, as fal's answer would be about something else anyway."""
    return tuple(_read(uris))


def _read(uris: list[tuple[str, str]]) -> Iterator[Reference]:
    for name, uri in uris:
        if not uri.startswith("data:"):
            yield Reference(name, b"")
            continue
        try:
            with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
                image.draft("RGB", (KEPT_SIDE, KEPT_SIDE))
                small = ImageOps.exif_transpose(image).convert("RGB")
        except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        small.thumbnail((KEPT_SIDE, KEPT_SIDE))
        kept = io.BytesIO()
        small.save(kept, "JPEG", quality=85)
        yield Reference(name, kept.getvalue())


def lay(canvas: Image.Image, references: tuple[Reference, ...]) -> None:
    """Paint over a canvas with what the pictures make: the first one edited, or its face swapped, and the others beside it, numbered."""
    first, *others = references
    canvas.paste(ImageOps.fit(first.image().convert("RGB"), canvas.size))
    if first.name == BASE:
        for face in others:
            _put_face(canvas, face.image())
        return
    for number, reference in enumerate(others, 2):
        _put_aside(canvas, reference.image(), number)


def _put_face(canvas: Image.Image, face: Image.Image) -> None:
    """Put a face where one usually is in a portrait, in a round cutting with soft edges."""
    side = round(min(canvas.size) * 0.4)
    if side < 8:
        return
    cutting = Image.new("L", (side * 2, side * 2))
    ImageDraw.Draw(cutting).ellipse((2, 2, side * 2 - 2, side * 2 - 2), fill=255)
    place = ((canvas.width - side) // 2, round((canvas.height - side) * 0.35))
    ring = ImageDraw.Draw(canvas)
    ring.ellipse((place[0] - 4, place[1] - 4, place[0] + side + 4, place[1] + side + 4), fill=WHITE)
    canvas.paste(ImageOps.fit(face.convert("RGB"), (side, side)), place, cutting.resize((side, side)))


def _put_aside(canvas: Image.Image, reference: Image.Image, number: int) -> None:
    """Put a small framed print at the right, the next below the one before."""
    side = max(24, min(canvas.size) // 5)
    per_column = max(1, canvas.height // (side + 8) - 1)
    column, row = divmod(number - 2, per_column)
    left, top = canvas.width - (column + 1) * (side + 8), 8 + row * (side + 8)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left - 3, top - 3, left + side + 2, top + side + 2), fill=WHITE)
    canvas.paste(ImageOps.fit(reference.convert("RGB"), (side, side)), (left, top))
    draw.text((left + 4, top + 2), str(number), font=font_of(max(10, side // 5)), fill=WHITE, stroke_width=2, stroke_fill=DARK)


def _link() -> Image.Image:
    """Return the stand-in of a picture that came as a link."""
    image = Image.new("RGB", (256, 256), (120, 124, 140))
    ImageDraw.Draw(image).text((128, 128), "link", font=font_of(64), fill=WHITE, anchor="mm")
    return image
