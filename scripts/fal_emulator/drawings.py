"""Simple drawings of things a prompt may name, each in a square of 100 by 100 units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, Colour] = {
    "red": (214, 48, 49), "crimson": (190, 30, 60), "orange": (237, 125, 49), "yellow": (246, 200, 60),
    "gold": (222, 175, 55), "green": (46, 160, 90), "lime": (140, 200, 60), "teal": (20, 150, 150),
    "turquoise": (48, 190, 190), "blue": (45, 110, 215), "navy": (30, 50, 110), "purple": (125, 70, 190),
    "violet": (150, 90, 210), "pink": (240, 120, 170), "magenta": (210, 50, 150), "brown": (130, 85, 50),
    "black": (35, 35, 40), "white": (245, 245, 245), "grey": (130, 135, 140), "gray": (130, 135, 140),
    "silver": (185, 190, 198),
}  # fmt: skip


class Pen:
    """Draws in units of a hundredth of the square it was given, in pixels."""

    def __init__(self, image: Image.Image, left: float, top: float, side: float) -> None:
        self._draw = ImageDraw.Draw(image)
        self._left, self._top, self._unit = left, top, side / 100

    def _at(self, point: Point) -> Point:
        return self._left + point[0] * self._unit, self._top + point[1] * self._unit

    def _width(self, units: float) -> int:
        return max(1, round(units * self._unit))

    def disc(self, centre: Point, radius: float, colour: Colour, *, high: float | None = None) -> None:
        x, y = centre
        tall = radius if high is None else high
        box = [self._at((x - radius, y - tall)), self._at((x + radius, y + tall))]
        self._draw.ellipse(box, fill=colour)

    def ring(self, centre: Point, radius: float, colour: Colour, width: float) -> None:
        x, y = centre
        box = [self._at((x - radius, y - radius)), self._at((x + radius, y + radius))]
        self._draw.ellipse(box, outline=colour, width=self._width(width))

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        self._draw.line([self._at(point) for point in points], fill=colour, width=self._width(width), joint="curve")

    def shape(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon([self._at(point) for point in points], fill=colour)


DARK: Colour = (40, 42, 54)
PALE: Colour = (250, 246, 235)


def _bicycle(pen: Pen, colour: Colour) -> None:
    for x in (24, 76):
        pen.ring((x, 66), 19, DARK, 3.5)
        for step in range(4):
            dx, dy = 17 * math.cos(step * math.pi / 4), 17 * math.sin(step * math.pi / 4)
            pen.line([(x - dx, 66 - dy), (x + dx, 66 + dy)], (150, 152, 160), 0.6)
    pen.line([(24, 66), (40, 38), (68, 38), (48, 66), (24, 66)], colour, 3.6)
    pen.line([(48, 66), (38, 33)], colour, 3.6)
    pen.line([(76, 66), (66, 30), (74, 26)], colour, 3.6)
    pen.line([(31, 32), (45, 32)], DARK, 4.5)
    pen.disc((48, 66), 4, DARK)


def _car(pen: Pen, colour: Colour) -> None:
    pen.shape([(26, 52), (36, 34), (66, 34), (78, 52)], colour)
    pen.shape([(8, 52), (92, 52), (94, 70), (6, 70)], colour)
    pen.shape([(34, 50), (40, 38), (50, 38), (50, 50)], PALE)
    pen.shape([(54, 50), (54, 38), (63, 38), (70, 50)], PALE)
    for x in (27, 73):
        pen.disc((x, 70), 10, DARK)
        pen.disc((x, 70), 4.5, (190, 192, 200))


def _house(pen: Pen, colour: Colour) -> None:
    pen.shape([(20, 48), (80, 48), (80, 86), (20, 86)], PALE)
    pen.shape([(12, 50), (50, 18), (88, 50)], colour)
    pen.shape([(44, 62), (57, 62), (57, 86), (44, 86)], (120, 80, 50))
    for x in (26, 64):
        pen.shape([(x, 56), (x + 11, 56), (x + 11, 67), (x, 67)], (120, 180, 220))


def _tree(pen: Pen, colour: Colour) -> None:
    pen.shape([(45, 56), (55, 56), (58, 90), (42, 90)], (110, 75, 45))
    for centre, radius in (((34, 48), 18), ((66, 48), 18), ((50, 30), 21), ((50, 50), 18)):
        pen.disc(centre, radius, colour)


def _flower(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 45), (50, 92)], (60, 140, 70), 3.5)
    pen.shape([(50, 82), (70, 64), (66, 82)], (60, 140, 70))
    for step in range(7):
        turn = step * 2 * math.pi / 7
        pen.disc((50 + 16 * math.cos(turn), 36 + 16 * math.sin(turn)), 11, colour)
    pen.disc((50, 36), 9, (246, 200, 60))


def _sun(pen: Pen, colour: Colour) -> None:
    for step in range(12):
        dx, dy = math.cos(step * math.pi / 6), math.sin(step * math.pi / 6)
        pen.line([(50 + 30 * dx, 50 + 30 * dy), (50 + 42 * dx, 50 + 42 * dy)], colour, 4)
    pen.disc((50, 50), 25, colour)


def _star(pen: Pen, colour: Colour) -> None:
    radii = [42 if step % 2 == 0 else 17 for step in range(10)]
    turns = [step * math.pi / 5 - math.pi / 2 for step in range(10)]
    pen.shape([(50 + r * math.cos(t), 52 + r * math.sin(t)) for r, t in zip(radii, turns, strict=True)], colour)


def _heart(pen: Pen, colour: Colour) -> None:
    turns = [step * math.pi / 40 for step in range(80)]
    pen.shape(
        [
            (
                50 + 2.5 * 16 * math.sin(t) ** 3,
                46 - 2.5 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)),
            )
            for t in turns
        ],
        colour,
    )


def _cat(pen: Pen, colour: Colour) -> None:
    pen.disc((50, 76), 24, colour, high=20)
    pen.shape([(30, 34), (31, 10), (48, 26)], colour)
    pen.shape([(70, 34), (69, 10), (52, 26)], colour)
    pen.disc((50, 42), 23, colour, high=20)
    for x in (41, 59):
        pen.disc((x, 40), 4.5, PALE)
        pen.disc((x, 40), 2, DARK)
    pen.shape([(47, 48), (53, 48), (50, 52)], (235, 140, 150))
    for side in (-1, 1):
        for drop in (50, 54):
            pen.line([(50 + side * 8, 51), (50 + side * 30, drop)], DARK, 0.8)


def _fish(pen: Pen, colour: Colour) -> None:
    pen.shape([(70, 50), (94, 30), (94, 70)], colour)
    pen.disc((44, 50), 34, colour, high=21)
    pen.disc((26, 45), 4.5, PALE)
    pen.disc((25, 45), 2.2, DARK)
    pen.line([(44, 36), (49, 50), (44, 64)], PALE, 1.6)


def _boat(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 12), (50, 66)], DARK, 2.4)
    pen.shape([(53, 14), (53, 60), (84, 60)], PALE)
    pen.shape([(47, 22), (47, 60), (22, 60)], PALE)
    pen.shape([(12, 66), (88, 66), (74, 84), (26, 84)], colour)


def _balloon(pen: Pen, colour: Colour) -> None:
    pen.line([(50, 62), (46, 74), (53, 84), (49, 96)], DARK, 1.2)
    pen.shape([(50, 58), (45, 66), (55, 66)], colour)
    pen.disc((50, 34), 24, colour, high=28)
    pen.disc((41, 24), 4, PALE, high=6)


def _mountain(pen: Pen, colour: Colour) -> None:
    pen.shape([(0, 84), (36, 22), (70, 84)], colour)
    pen.shape([(27, 38), (36, 22), (45, 38), (40, 42), (36, 37), (31, 42)], PALE)
    pen.shape([(40, 84), (70, 40), (100, 84)], (80, 90, 110))


DRAWINGS: dict[str, tuple[Callable[[Pen, Colour], None], str]] = {
    "bicycle": (_bicycle, "red"), "bike": (_bicycle, "red"), "car": (_car, "blue"), "house": (_house, "brown"),
    "home": (_house, "brown"), "tree": (_tree, "green"), "forest": (_tree, "green"), "flower": (_flower, "pink"),
    "rose": (_flower, "red"), "sun": (_sun, "yellow"), "sunset": (_sun, "orange"), "star": (_star, "gold"),
    "heart": (_heart, "red"), "cat": (_cat, "orange"), "kitten": (_cat, "grey"), "fish": (_fish, "orange"),
    "boat": (_boat, "red"), "ship": (_boat, "navy"), "balloon": (_balloon, "red"), "mountain": (_mountain, "teal"),
    "mountains": (_mountain, "teal"),
}  # fmt: skip
