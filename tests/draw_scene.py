"""Draws the scene that `make caption` describes when no photo is named.

python tests/draw_scene.py SCENE.jpg
"""

from __future__ import annotations

import random
import sys

from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 500, 375
HORIZON = 100
FUR, DARK_FUR = (180, 95, 30), (110, 56, 18)


def draw_scene() -> Image.Image:
    """A brown dog that runs over a lawn under a blue sky, `WIDTH` x `HEIGHT`, RGB."""
    scene = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(scene)
    for y in range(HORIZON):
        draw.line([(0, y), (WIDTH, y)], fill=(110 + y // 2, 165 + y // 3, 235))
    dice = random.Random(0)
    for x in range(-20, WIDTH, 25):
        radius = dice.randint(18, 34)
        _oval(draw, x, HORIZON - 8, radius, radius, (40, dice.randint(75, 105), 45))
    draw.rectangle([(0, HORIZON), (WIDTH, HEIGHT)], fill=(86, 142, 52))
    for _ in range(14_000):
        x, y = dice.randrange(WIDTH), dice.randrange(HORIZON, HEIGHT)
        green = dice.randint(105, 185)
        blade = (x + dice.randint(-2, 2), y - 2 - (y - HORIZON) // 25)
        draw.line([(x, y), blade], fill=(green // 2, green, 45))
    _draw_dog(draw)
    return scene.filter(ImageFilter.GaussianBlur(0.8))


def _draw_dog(draw: ImageDraw.ImageDraw) -> None:
    _oval(draw, 250, 318, 125, 10, (48, 88, 30))  # shadow
    for hip, knee, paw, colour in (
        ((185, 255), (150, 285), (118, 300), DARK_FUR),
        ((310, 255), (352, 282), (392, 288), DARK_FUR),
        ((180, 250), (168, 288), (140, 315), FUR),
        ((318, 250), (335, 290), (372, 310), FUR),
    ):
        draw.line([hip, knee, paw], fill=colour, width=17, joint="curve")
        _oval(draw, *paw, 11, 7, colour)
    draw.line([(165, 225), (125, 195), (100, 160)], fill=FUR, width=13, joint="curve")
    _oval(draw, 245, 235, 92, 36, FUR)
    _oval(draw, 305, 232, 40, 40, FUR)
    draw.line([(320, 225), (362, 185)], fill=FUR, width=44)
    _oval(draw, 370, 178, 34, 27, FUR)
    _oval(draw, 402, 188, 26, 14, FUR)
    _oval(draw, 350, 186, 13, 28, DARK_FUR)  # ear
    _oval(draw, 424, 182, 6, 6, (20, 18, 18))
    _oval(draw, 380, 170, 4, 4, (15, 12, 10))
    _oval(draw, 404, 206, 8, 9, (205, 95, 105))  # tongue
    draw.line([(345, 218), (372, 210)], fill=(190, 40, 40), width=7)  # collar


def _oval(
    draw: ImageDraw.ImageDraw, x: int, y: int, across: int, down: int, fill: tuple[int, int, int]
) -> None:
    draw.ellipse([(x - across, y - down), (x + across, y + down)], fill=fill)


if __name__ == "__main__":
    draw_scene().save(sys.argv[1], quality=90)
