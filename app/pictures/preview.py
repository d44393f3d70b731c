"""Makes a small JPEG of a picture, to look at: for clients that can take few bytes."""

from __future__ import annotations

import io
from typing import IO

from PIL import Image, ImageOps

from app.pictures.inspect import CONTENT_TYPES, MAX_DECODED_PIXELS, broken_pictures_refused, too_large

#: Longest side and quality, tried in this order until the picture is small enough; the last always is.
STEPS = ((512, 80), (512, 60), (512, 40), (384, 40), (256, 40), (128, 40))
LONGEST = STEPS[0][0]


def preview(file: IO[bytes], *, max_bytes: int) -> bytes:
    """Return a JPEG of at most 512 pixels a side and `max_bytes`, upright and without metadata; of a moving picture the first frame.

    What is transparent becomes white. Raises NotAnImage for what cannot be read, or would take too much memory. May run in any thread.
    """
    with broken_pictures_refused():
        plain = _flattened(opened_upright(file, LONGEST))
    for side, quality in STEPS:
        plain.thumbnail((side, side))
        out = io.BytesIO()
        plain.save(out, "JPEG", quality=quality)
        if out.tell() <= max_bytes:
            break
    return out.getvalue()


def opened_upright(file: IO[bytes], longest: int) -> Image.Image:
    """Return a picture of at most `longest` pixels a side, the way up it is looked at. Raises NotAnImage, as `preview`."""
    with broken_pictures_refused(), Image.open(file, formats=tuple(CONTENT_TYPES)) as picture:
        picture.draft("RGB", (longest, longest))  # A JPEG is decoded at a fraction of its size: less memory, less time.
        if picture.width * picture.height > MAX_DECODED_PIXELS:
            raise too_large()
        upright = ImageOps.exif_transpose(picture)
        upright.thumbnail((longest, longest))
        return upright


def _flattened(picture: Image.Image) -> Image.Image:
    """Return the picture as RGB, on white where it is transparent."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
