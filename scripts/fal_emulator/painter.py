"""Paints a prompt into a picture of the asked size, and keeps the last ones. No HTTP here."""

from __future__ import annotations

import asyncio
import colorsys
import io
import random
import re
import textwrap
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from scripts.fal_emulator.drawings import COLOURS, DRAWINGS, Colour, Pen

CACHE_BYTES = 128 * 1024 * 1024
LONGEST_TEXT = 700
# A drawing is made at twice its size and halved, which smooths its edges; beyond this side that costs too much.
SMOOTHED_SIDE = 900
MARGIN = 0.045

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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


def paint(picture: Picture) -> bytes:
    """Return the encoded picture; colours come from the prompt and the seed, so the same order looks the same."""
    chance = random.Random(f"{picture.prompt}|{picture.seed}|{picture.index}")  # noqa: S311  Colours, no secrets.
    hue = chance.random()
    image = _background(picture.width, picture.height, hue)
    panel = _Panel(picture)
    scene_height = max(1, picture.height - panel.height)
    _scatter(image, scene_height, hue, chance)
    _draw_object(image, picture.prompt, scene_height, hue)
    panel.draw(image, _colour(hue, 0.45, 0.16))
    _badge(image, picture.index)
    return _encoded(image, picture.file_format)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _background(width: int, height: int, hue: float) -> Image.Image:
    """A vertical gradient: every row is one colour, which PNG packs well even at its lowest level."""
    top, bottom = _colour(hue, 0.42, 0.93), _colour(hue + 0.09, 0.20, 0.99)
    column = Image.new("RGB", (1, 2))
    column.putpixel((0, 0), top)
    column.putpixel((0, 1), bottom)
    return column.resize((1, height), Image.Resampling.BILINEAR).resize((width, height), Image.Resampling.NEAREST)


def _scatter(image: Image.Image, scene_height: int, hue: float, chance: random.Random) -> None:
    draw = ImageDraw.Draw(image)
    least = min(image.width, scene_height)
    for _ in range(6):
        x, y = chance.uniform(0, image.width), chance.uniform(0, scene_height)
        radius = chance.uniform(0.05, 0.2) * least
        shade = _colour(hue + chance.uniform(-0.06, 0.1), 0.34, 0.97)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=shade)
    hill = _colour(hue + 0.12, 0.30, 0.86)
    top = scene_height - 0.16 * least
    draw.ellipse([-0.25 * image.width, top, 1.25 * image.width, top + 1.2 * least], fill=hill)


def _draw_object(image: Image.Image, prompt: str, scene_height: int, hue: float) -> None:
    """Draw the first thing the prompt names, in the first colour it names; without one, rings."""
    words = re.findall(r"[a-z]+", prompt[:LONGEST_TEXT].lower())
    thing = next((word for word in words if word in DRAWINGS), None)
    named = next((COLOURS[word] for word in words if word in COLOURS), None)
    side = max(1, round(min(image.width, scene_height) * 0.86))
    left, top = (image.width - side) // 2, (scene_height - side) // 2
    scale = 2 if side <= SMOOTHED_SIDE else 1
    box = (left, top, left + side, top + side)
    canvas = image.crop(box).resize((side * scale, side * scale), Image.Resampling.NEAREST)
    pen = Pen(canvas, 0, 0, side * scale)
    if thing is not None:
        draw, usual = DRAWINGS[thing]
        draw(pen, named or COLOURS[usual])
    else:
        colour = named or _colour(hue + 0.5, 0.55, 0.80)
        for radius in (36, 26, 16):
            pen.ring((50, 50), radius, colour, 4)
        pen.disc((50, 50), 7, colour)
    image.paste(canvas.reduce(scale) if scale > 1 else canvas, box)


class _Panel:
    """The strip below the scene with the prompt, as large as fits in at most half the height."""

    def __init__(self, picture: Picture) -> None:
        self._text = textwrap.shorten(picture.prompt, LONGEST_TEXT, placeholder=" …") or "(no prompt)"
        self._label = f"{picture.label}  ·  {picture.width} x {picture.height}  ·  emulator"
        self._margin = max(1, round(picture.width * MARGIN))
        size = max(8, round(min(picture.height * 0.055, picture.width * 0.05)))
        self.height = 0
        self._wrap(size, picture)
        while self.height > picture.height // 2 and size > 8:
            size = max(8, round(size * 0.85))
            self._wrap(size, picture)
        self.height = min(self.height, picture.height // 2)
        self._small = self._small_font(size, picture)

    def _wrap(self, size: int, picture: Picture) -> None:
        self._font = _font(size)
        self._line = round(size * 1.32)
        room = max(1, picture.width - 2 * self._margin)
        columns = max(1, int(room / max(1.0, self._font.getlength("a quick brown fox") / 17)))
        self._lines = textwrap.wrap(self._text, columns)
        while columns > 1 and max(map(self._font.getlength, self._lines)) > room:
            columns = max(1, columns * 9 // 10)
            self._lines = textwrap.wrap(self._text, columns)
        self.height = round(self._line * (len(self._lines) + 1.7))

    def _small_font(self, size: int, picture: Picture) -> _Font:
        font = _font(max(7, round(size * 0.55)))
        too_wide = font.getlength(self._label) / max(1, picture.width - 2 * self._margin)
        return _font(max(7, int(size * 0.55 / too_wide))) if too_wide > 1 else font

    def draw(self, image: Image.Image, colour: Colour) -> None:
        draw = ImageDraw.Draw(image)
        top = image.height - self.height
        draw.rectangle([0, top, image.width, image.height], fill=colour)
        y = top + self._line * 0.45
        for line in self._lines:
            draw.text((self._margin, y), line, font=self._font, fill=(255, 255, 255))
            y += self._line
        draw.text((self._margin, y + self._line * 0.15), self._label, font=self._small, fill=(190, 195, 205))


def _badge(image: Image.Image, index: int) -> None:
    size = max(8, round(min(image.size) * 0.05))
    edge = round(size * 0.6)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle([edge, edge, edge + size * 2, edge + size * 1.6], radius=size * 0.4, fill=(35, 37, 48))
    centre = (edge + size, edge + size * 0.8)
    draw.text(centre, f"#{index + 1}", font=_font(size), fill=(255, 255, 255), anchor="mm")


@lru_cache(maxsize=64)
def _font(size: int) -> _Font:
    """Pillow's own font knows Latin letters only; a DejaVu found on the machine knows more."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def _encoded(image: Image.Image, file_format: str) -> bytes:
    buffer = io.BytesIO()
    if file_format == "png":
        image.save(buffer, "PNG", compress_level=1)
    elif file_format == "webp":
        image.save(buffer, "WEBP", quality=80, method=0)
    else:
        image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class Painter:
    """Paints in threads, each picture once: the same order waits for the one being painted, then comes from memory."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="painter")
        self._kept: OrderedDict[Picture, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._painting: dict[Picture, asyncio.Future[bytes]] = {}
        self.painted = 0
        self.hits = 0

    async def get(self, picture: Picture) -> bytes:
        kept = self._kept.get(picture)
        if kept is not None:
            self.hits += 1
            self._kept.move_to_end(picture)
            return kept
        future = self._painting.get(picture)
        if future is None:
            future = asyncio.get_running_loop().run_in_executor(self._threads, paint, picture)
            self._painting[picture] = future
            future.add_done_callback(lambda done: self._keep(picture, done))
        # A client that hangs up must not take the picture from the others who wait for it.
        return await asyncio.shield(future)

    def _keep(self, picture: Picture, done: asyncio.Future[bytes]) -> None:
        self._painting.pop(picture, None)
        if done.cancelled() or done.exception() is not None:
            return
        self.painted += 1
        self._kept[picture] = done.result()
        self._kept_bytes += len(done.result())
        while self._kept_bytes > CACHE_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
