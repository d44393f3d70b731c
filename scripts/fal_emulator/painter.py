"""Paints a prompt into a picture of the asked size, and keeps the last ones. No HTTP here."""

import asyncio
import colorsys
import io
import random
import re
import textwrap
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageDraw

from scripts.fal_emulator.lettering import font_of, height_of, wrapped, write
from scripts.fal_emulator.references import Reference, lay, read

KEPT_PICTURES = 64
SHOWN_CHARACTERS, SHOWN_LINES, COLUMNS = 240, 5, 48
#: A drawing is made in a square of so many pixels and then brought to the size of the picture.
CANVAS = 800
#: In fewer pixels than these nobody sees what was drawn.
LEAST_SIDE = 100
DARK, PALE, WHITE = (40, 42, 54), (250, 246, 235), (255, 255, 255)

Colour = tuple[int, ...]
Draw = ImageDraw.ImageDraw


@dataclass(frozen=True)
class Picture:
    """What a picture shows; equal ones have equal bytes. Sides in pixels, `file_format` png, jpeg or webp."""

    prompt: str
    width: int
    height: int
    file_format: str
    index: int
    seed: int | None
    label: str
    references: tuple[Reference, ...] = ()


def paint(picture: Picture) -> bytes:
    """Return the encoded picture; its colours come from the prompt and the seed, so the same order looks the same."""
    hue = random.Random(f"{picture.prompt}|{picture.seed}|{picture.index}").random()  # noqa: S311  Colours, no secrets.
    image = _background(picture.width, picture.height, hue)
    if picture.references:
        lay(image, picture.references)
    caption_height = _write_caption(image, picture, _colour(hue, 0.45, 0.16))
    _draw_object(image, picture.prompt, picture.height - caption_height, hue, is_edit=bool(picture.references))
    _write_number(image, picture.index + 1)
    buffer = io.BytesIO()
    image.save(buffer, picture.file_format.upper(), compress_level=1, quality=85, method=0)
    return buffer.getvalue()


def _colour(hue: float, saturation: float, value: float) -> Colour:
    return tuple(round(part * 255) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _background(width: int, height: int, hue: float) -> Image.Image:
    """A vertical gradient: every row is one colour, which PNG packs well even at its lowest level."""
    column = Image.new("RGB", (1, 2))
    column.putpixel((0, 0), _colour(hue, 0.42, 0.93))
    column.putpixel((0, 1), _colour(hue + 0.09, 0.20, 0.99))
    return column.resize((1, height), Image.Resampling.BILINEAR).resize((width, height), Image.Resampling.NEAREST)


def _write_caption(image: Image.Image, picture: Picture, colour: Colour) -> int:
    """Write the prompt, and what made the picture, into a strip at the bottom; return its height in pixels."""
    label = f"{picture.label}  ·  {picture.width} x {picture.height}  ·  emulator"
    prompt = textwrap.shorten(picture.prompt, SHOWN_CHARACTERS, placeholder=" …") or "(no prompt)"
    lines = [*wrapped(prompt, COLUMNS)[:SHOWN_LINES], label]
    size = max(7, min(image.width // 28, image.height // 18))
    draw = ImageDraw.Draw(image)
    bottom = height_of(lines, size)
    height, margin = min(round(bottom * 1.3), image.height // 2), image.width // 22
    top = image.height - height
    draw.rectangle([0, top, image.width, image.height], fill=colour)
    write(draw, (margin, top + bottom * 0.15), lines, size, WHITE)
    return height


def _draw_object(image: Image.Image, prompt: str, height: int, hue: float, *, is_edit: bool) -> None:
    """Draw the first thing that the prompt names, in the first colour that it names; without a thing, rings. Into an edit, small."""
    side = round(min(image.width, height) * (0.4 if is_edit else 0.86))
    words = re.findall(r"[a-z]+", prompt.lower())
    if side < LEAST_SIDE or (is_edit and not any(word in DRAWINGS for word in words)):
        return
    thing, usual = next((DRAWINGS[word] for word in words if word in DRAWINGS), (_rings, None))
    named = next((word for word in words if word in ImageColor.colormap), usual)
    canvas = Image.new("RGBA", (CANVAS, CANVAS))
    thing(ImageDraw.Draw(canvas), ImageColor.getrgb(named) if named else _colour(hue + 0.5, 0.55, 0.80))
    drawing = canvas.resize((side, side), reducing_gap=2.0)
    left = image.width // 40 if is_edit else (image.width - side) // 2
    image.paste(drawing, (left, height - side if is_edit else (height - side) // 2), drawing)


def _write_number(image: Image.Image, number: int) -> None:
    size = max(8, min(image.size) // 20)
    box = (size // 2, size // 2, size * 3, size * 2)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(box, radius=size * 0.4, fill=DARK)
    draw.text(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), f"#{number}", font=font_of(size), fill=WHITE, anchor="mm")


def _rings(draw: Draw, colour: Colour) -> None:
    for radius in (290, 210, 130):
        draw.circle((400, 400), radius, outline=colour, width=32)
    draw.circle((400, 400), 56, fill=colour)


def _bicycle(draw: Draw, colour: Colour) -> None:
    for x in (192, 608):
        draw.circle((x, 528), 152, outline=DARK, width=28)
    draw.line([(192, 528), (320, 304), (544, 304), (384, 528), (192, 528)], fill=colour, width=29, joint="curve")
    draw.line([(384, 528), (304, 264)], fill=colour, width=29)
    draw.line([(608, 528), (528, 240), (592, 208)], fill=colour, width=29, joint="curve")
    draw.line([(248, 256), (360, 256)], fill=DARK, width=36)
    draw.circle((384, 528), 32, fill=DARK)


def _house(draw: Draw, colour: Colour) -> None:
    draw.rectangle((160, 384, 640, 688), fill=PALE)
    draw.polygon([(96, 400), (400, 144), (704, 400)], fill=colour)
    draw.rectangle((352, 496, 456, 688), fill=DARK)


def _tree(draw: Draw, colour: Colour) -> None:
    draw.polygon([(360, 448), (440, 448), (464, 720), (336, 720)], fill=(110, 75, 45))
    for x, y in ((272, 384), (528, 384), (400, 240)):
        draw.circle((x, y), 152, fill=colour)


def _boat(draw: Draw, colour: Colour) -> None:
    draw.line([(400, 96), (400, 528)], fill=DARK, width=19)
    draw.polygon([(424, 112), (424, 480), (672, 480)], fill=PALE)
    draw.polygon([(96, 528), (704, 528), (592, 672), (208, 672)], fill=colour)


DRAWINGS: dict[str, tuple[Callable[[Draw, Colour], None], str]] = {
    "bicycle": (_bicycle, "red"), "bike": (_bicycle, "red"), "house": (_house, "brown"),
    "tree": (_tree, "seagreen"), "boat": (_boat, "red"), "ship": (_boat, "navy"),
}  # fmt: skip


class Painter:
    """Paints in threads, each picture once: the same order waits for the one being painted, then comes from memory."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="painter")
        self._kept: OrderedDict[Picture, asyncio.Future[bytes]] = OrderedDict()
        self.painted = self.hits = 0

    async def get(self, picture: Picture) -> bytes:
        future = self._kept.get(picture)
        if future is None:
            self.painted += 1
            future = self._kept[picture] = asyncio.get_running_loop().run_in_executor(self._threads, paint, picture)
        else:
            self.hits += 1
        self._kept.move_to_end(picture)
        while len(self._kept) > KEPT_PICTURES:
            self._kept.popitem(last=False)
        # A client that hangs up must not take the picture from the others who wait for it.
        return await asyncio.shield(future)

    def read(self, uris: list[tuple[str, str]]) -> asyncio.Future[tuple[Reference, ...]] | None:
        """Begin to read the pictures of a request; None where it has none."""
        return asyncio.get_running_loop().run_in_executor(self._threads, read, uris) if uris else None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
