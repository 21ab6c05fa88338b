"""A picture to measure with, drawn in memory: no photo has to be found, or anybody asked."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

SIZE = (500, 375)
"""Width and height in pixels, those of most photos of Flickr8k."""


def drawn_jpeg() -> bytes:
    """A house on a meadow as a JPEG file, as large and as busy as a photo of that size.

    The same on every machine as far as Pillow is: another version may write other bytes.
    """
    width, height = SIZE
    sky = np.linspace((110, 160, 225), (215, 230, 245), height)
    picture = Image.fromarray(np.repeat(sky[:, np.newaxis], width, axis=1).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((390, 30, 450, 90), fill=(255, 235, 150))
    draw.ellipse((-120, 210, 330, 520), fill=(95, 140, 80))
    draw.rectangle((0, 280, width, height), fill=(80, 150, 60))
    draw.rectangle((230, 190, 380, 310), fill=(200, 175, 150))
    draw.polygon(((215, 190), (305, 120), (395, 190)), fill=(150, 60, 50))
    draw.rectangle((290, 245, 325, 310), fill=(90, 60, 45))
    # Without grain a JPEG is small and quickly decoded, as no photo is.
    grain = np.random.default_rng(0).normal(0, 12, (height, width, 1))
    pixels = (np.asarray(picture) + grain).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()
