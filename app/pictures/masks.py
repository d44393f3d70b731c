"""Masks: which places of a picture are to be changed."""

from __future__ import annotations

import io

from PIL import Image, ImageChops

from app.domain.errors import NotAnImage
from app.pictures.inspect import MAX_DECODED_PIXELS, broken_pictures_refused, not_an_image

NO_ALPHA = "The mask has no transparency: make it a PNG that is transparent where the image is to be changed"


def white_where_transparent(content: bytes) -> bytes:
    """Return a mask that is transparent where the picture is to be changed as one that is white there and black elsewhere.

    Raises NotAnImage for what is no PNG, or has no transparency. May run in any thread.
    """
    with broken_pictures_refused(), Image.open(io.BytesIO(content), formats=("PNG",)) as mask:
        if mask.width * mask.height > MAX_DECODED_PIXELS:
            raise not_an_image()
        if not mask.has_transparency_data:
            raise NotAnImage(NO_ALPHA)
        alpha = mask.convert("RGBA").getchannel("A")
    written = io.BytesIO()
    ImageChops.invert(alpha).save(written, format="PNG")
    return written.getvalue()
