"""A caption corpus drawn here: coloured shapes on coloured grounds, in Flickr8k's layout."""

import random
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (40, 70, 220),
    "yellow": (240, 220, 50),
    "black": (20, 20, 20),
    "white": (240, 240, 240),
}
SHAPES = ("circle", "square", "triangle")


def draw(shape: str, colour: str, ground: str, generator: random.Random, side: int) -> Image.Image:
    """One shape somewhere near the middle, `side` pixels square."""
    picture = Image.new("RGB", (side, side), COLOURS[ground])
    pen = ImageDraw.Draw(picture)
    radius = side * generator.uniform(0.25, 0.35)
    x, y = (side * generator.uniform(0.4, 0.6) for _ in range(2))
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        pen.ellipse(box, fill=COLOURS[colour])
    elif shape == "square":
        pen.rectangle(box, fill=COLOURS[colour])
    else:
        corners = [(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)]
        pen.polygon(corners, fill=COLOURS[colour])
    return picture


def captions(shape: str, colour: str, ground: str) -> list[str]:
    """Five ways to say it."""
    return [
        f"A {colour} {shape} on a {ground} background .",
        f"There is a {colour} {shape} on {ground} .",
        f"A {shape} that is {colour} , on a {ground} background .",
        f"The {colour} {shape} is on a {ground} background .",
        f"A {colour} {shape} in front of a {ground} background .",
    ]


def gallery() -> list[tuple[str, Image.Image]]:
    """One picture of each shape in each colour on one ground, with a name."""
    generator, pictures = random.Random(7), []
    for shape in SHAPES:
        for colour in COLOURS:
            ground = "white" if colour == "black" else "black"
            pictures.append((f"{colour} {shape}", draw(shape, colour, ground, generator, 96)))
    return pictures


def write_corpus(folder: Path, train: int, dev: int, seed: int = 0, side: int = 96) -> Path:
    """Photos, captions and split lists of a corpus in Flickr8k's layout; returns `folder`."""
    generator = random.Random(seed)
    (folder / "images").mkdir(parents=True)
    lines, names = [], []
    for index in range(train + dev):
        colour, ground = generator.sample(sorted(COLOURS), 2)
        shape = generator.choice(SHAPES)
        name = f"shape_{index:04d}.png"
        draw(shape, colour, ground, generator, side).save(folder / "images" / name)
        names.append(name)
        spelled = enumerate(captions(shape, colour, ground))
        lines += [f"{name}#{number}\t{caption}" for number, caption in spelled]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (folder / "Flickr_8k.trainImages.txt").write_text("\n".join(names[:train]) + "\n")
    (folder / "Flickr_8k.devImages.txt").write_text("\n".join(names[train:]) + "\n")
    return folder
