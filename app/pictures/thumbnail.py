"""A picture made small, to look at: a WebP of some kilobytes."""

from __future__ import annotations

import io
from typing import IO

from PIL import Image

from app.pictures.preview import opened_upright

#: The longest side in pixels: a tile of a gallery, and a screen.
SIZES = (320, 1024)
CONTENT_TYPE = "image/webp"
QUALITY, METHOD = 80, 2


def thumbnail(file: IO[bytes], size: int) -> bytes:
    """Return a WebP of at most `size` pixels a side, upright and without metadata; of a moving picture the first frame.

    Transparency stays, and so does a color profile of RGB. Raises NotAnImage for what cannot be read, or would take too much memory. May
    run in any thread.
    """
    picture = opened_upright(file, size)
    profile = picture.info.get("icc_profile") if picture.mode in ("RGB", "RGBA") else None
    out = io.BytesIO()
    _plain(picture).save(out, "WEBP", quality=QUALITY, method=METHOD, icc_profile=profile)
    return out.getvalue()


def _plain(picture: Image.Image) -> Image.Image:
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
