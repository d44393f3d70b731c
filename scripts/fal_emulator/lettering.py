"""Writes any of the world's usual scripts, with fonts of its own: a machine's own are not the same everywhere. No HTTP here."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont, features

FONTS = Path(__file__).parent / "fonts"
ALPHABETS, EAST_ASIAN = "alphabets.ttf", "east-asian.ttf"
#: From here on Unicode has what East Asia writes, but for the forms of Arabic letters.
EAST_ASIAN_FROM, ARABIC_FORMS = 0x2E80, range(0xFB50, 0xFF00)
LINE_HEIGHT = 1.3

Font = ImageFont.FreeTypeFont
Draw = ImageDraw.ImageDraw


def wrapped(text: str, columns: int) -> list[str]:
    """Break a text into lines of so many columns; a Chinese, Japanese or Korean character takes two, and a line may end after each."""
    lines, line = [], ""
    for word in _words(text):
        if line and _columns(line + word.rstrip()) > columns:
            lines.append(line.rstrip())
            line = ""
        line += word
        while _columns(line.rstrip()) > columns:
            lines.append(line[:columns])
            line = line[columns:]
    return [*lines, line.rstrip()] if line.strip() else lines


def _words(text: str) -> Iterator[str]:
    word = ""
    for char in " ".join(text.split()):
        if word and (word[-1] == " " or _is_wide(char) or _is_wide(word[-1])) and char != " ":
            yield word
            word = ""
        word += char
    if word:
        yield word


def _columns(text: str) -> int:
    return sum(2 if _is_wide(char) else 1 for char in text)


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def write(draw: Draw, place: tuple[float, float], lines: list[str], size: int, colour: str | tuple[int, ...]) -> None:
    """Write lines below each other, from their left and top."""
    x, y = place
    for line in lines:
        at = x
        for text, font in _runs(line, size):
            draw.text((at, y), text, font=font, fill=colour)
            at += font.getlength(text)
        y += size * LINE_HEIGHT


def height_of(lines: list[str], size: int) -> float:
    return len(lines) * size * LINE_HEIGHT


def font_of(size: int, name: str = ALPHABETS) -> Font:
    return _font(name, size)


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> Font:
    return ImageFont.truetype(FONTS / name, size)


def _runs(line: str, size: int) -> Iterator[tuple[str, Font]]:
    """Yield the parts of a line that one font has the letters of."""
    for name, chars in groupby(_visual(line), key=_font_name):
        yield "".join(chars), _font(name, size)


def _font_name(char: str) -> str:
    code = ord(char)
    return EAST_ASIAN if code >= EAST_ASIAN_FROM and code not in ARABIC_FORMS else ALPHABETS


def _visual(line: str) -> str:
    """Return a line as the letters are to be drawn. Where Pillow has Raqm it joins and turns Arabic and Hebrew by itself."""
    if features.check("raqm") or not any(unicodedata.bidirectional(char) in ("R", "AL") for char in line):
        return line
    from arabic_reshaper import reshape  # type: ignore[import-untyped]  # noqa: PLC0415 - most machines never need these
    from bidi import get_display  # type: ignore[import-untyped]  # noqa: PLC0415

    return str(get_display(reshape(line)))
