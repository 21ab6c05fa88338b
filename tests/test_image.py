"""Photos in every form a file, a camera or a caller can give them; each is made here."""

from __future__ import annotations

import errno
import gc
import io
import os
import re
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from edgecap import image as photos
from edgecap import photo_file
from edgecap.errors import ImageError, UsageError

WHITE = (255, 255, 255)


def encode(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def scene(width, height, seed=0):
    """A picture with smooth parts, edges and noise, as uint8 (height, width, 3)."""
    x = np.linspace(0, 1, width, dtype=np.float32)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    picture = np.stack([128 + 90 * np.sin(6 * x + 4 * k * y) for k in (1, 2, 3)], axis=-1)
    picture[(x - 0.4) ** 2 + (y - 0.6) ** 2 < 0.05] = (220, 40, 60)
    noise = np.random.default_rng(seed).standard_normal(picture.shape, dtype=np.float32)
    return (picture + 6 * noise).clip(0, 255).astype(np.uint8)


def blocks(width=64, height=32, side=16):
    """Flat squares of unlike colours, so that JPEG keeps them and no turn looks like another."""
    rng = np.random.default_rng(1)
    colours = rng.integers(30, 226, (height // side, width // side, 3), dtype=np.uint8)
    return colours.repeat(side, axis=0).repeat(side, axis=1)


def png(width, height, bits, colour, rows=b"", extra=()):
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
        *extra,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def decoded(source, **options):
    image = photos.decode(source, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def refusal(source, **options):
    """The message of the `ImageError` that `source` causes, which must be one line."""
    with pytest.raises(ImageError) as caught:
        photos.decode(source, **options)
    message = str(caught.value)
    assert message.isprintable(), message
    assert caught.value.__cause__ is not None
    return message


def assert_close(actual, expected, tolerance):
    difference = np.abs(np.asarray(actual, dtype=int) - np.asarray(expected, dtype=int))
    assert difference.max() <= tolerance, difference.max()


# Every way to give a photo.


def test_all_sources_give_the_same_array(tmp_path):
    picture = scene(90, 60)
    data = encode(Image.fromarray(picture), "PNG")
    path = tmp_path / "cat.png"
    path.write_bytes(data)
    expected = np.asarray(Image.fromarray(picture).resize((32, 24), Image.Resampling.BILINEAR))
    with path.open("rb") as file:
        sources = [path, str(path), data, bytearray(data), io.BytesIO(data), file]
        arrays = [photos.load(source, 32, 24) for source in sources]
    arrays += [photos.load(Image.fromarray(picture), 32, 24), photos.load(picture, 32, 24)]
    for array in arrays:
        assert array.shape == (24, 32, 3)
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert (array == expected).all()


def test_a_file_is_read_from_where_it_stands():
    picture = blocks()
    file = io.BytesIO(b"before" + encode(Image.fromarray(picture), "PNG"))
    file.seek(6)
    assert (decoded(file) == picture).all()


def test_an_array_of_the_right_shape_passes_unchanged():
    picture = scene(32, 24)
    assert photos.load(picture, 32, 24) is picture
    mirrored = picture[:, ::-1]
    result = photos.load(mirrored, 32, 24)
    assert result.flags.c_contiguous
    assert (result == mirrored).all()


@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos", "box", "nearest"])
def test_resampling_is_pillows_of_that_name(name):
    picture = Image.fromarray(scene(90, 60))
    expected = np.asarray(picture.resize((32, 24), Image.Resampling[name.upper()]))
    assert (photos.load(picture, 32, 24, name) == expected).all()
    assert (photos.resize(picture, 32, 24, name) == expected).all()
    assert name in photos.RESAMPLING


def test_unknown_resampling_is_named():
    with pytest.raises(UsageError, match=r"'cubic'.*bilinear, bicubic, lanczos, box, nearest"):
        photos.load(scene(9, 9), 4, 4, "cubic")


def test_arrays_of_grey_and_of_transparent_pixels():
    grey = scene(20, 10)[..., 0]
    assert (decoded(grey) == grey[..., None]).all()
    clear = np.dstack([scene(20, 10), np.zeros((10, 20), np.uint8)])
    assert (decoded(clear) == 255).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(12, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused(array):
    message = refusal(array)
    assert f"{array.dtype} of shape {array.shape}" in message
    assert "expected uint8" in message


def test_a_pillow_image_is_left_as_it_is():
    picture = Image.fromarray(blocks())
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(encode(picture, "JPEG", exif=exif))) as image:
        before = image.size, image.mode, dict(image.info)
        assert photos.decode(image).size == (picture.height, picture.width)
        assert (image.size, image.mode, dict(image.info)) == before


# Every kind of pixel.


def on_white(colours, alpha):
    """What (..., 3) colours look like on white through (...) alpha, both 0 to 255."""
    share = np.asarray(alpha, float)[..., None] / 255
    return np.rint(np.asarray(colours, float) * share + 255 * (1 - share))


@pytest.fixture(name="rgba")
def rgba_fixture():
    """Every alpha once beside random colours, as (16, 16, 4)."""
    pixels = np.random.default_rng(2).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    pixels[..., 3] = np.arange(256).reshape(16, 16)
    return pixels


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_transparency_is_white(rgba, form):
    lossless = {"lossless": True, "exact": True} if form == "WEBP" else {}
    data = encode(Image.fromarray(rgba), form, **lossless)
    # Pillow blends in integers, which rounds to nearest.
    assert_close(decoded(data), on_white(rgba[..., :3], rgba[..., 3]), 0)


def test_transparent_grey_is_white(rgba):
    pixels = rgba[..., [0, 3]]
    expected = on_white(rgba[..., [0, 0, 0]], rgba[..., 3])
    image = Image.merge("LA", [Image.fromarray(np.ascontiguousarray(p)) for p in pixels.T]).copy()
    image = image.transpose(Image.Transpose.TRANSPOSE)
    assert_close(decoded(encode(image, "PNG")), expected, 0)
    # Premultiplying rounds once, dividing again once, at most half a level each on the screen.
    assert_close(decoded(image.convert("La")), expected, 1)
    assert_close(
        decoded(Image.fromarray(rgba).convert("RGBa")), on_white(rgba[..., :3], rgba[..., 3]), 1
    )


def test_black_and_white():
    bits = np.random.default_rng(3).integers(0, 2, (16, 24)).astype(bool)
    expected = np.where(bits, 255, 0)[..., None]
    for form in ("PNG", "TIFF", "BMP", "PPM"):
        assert (decoded(encode(Image.fromarray(bits), form)) == expected).all()


def palette_image():
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(indices).convert("P")
    colours = np.random.default_rng(4).integers(0, 256, (256, 3), dtype=np.uint8)
    image.putpalette(colours.tobytes())
    return image, colours.reshape(16, 16, 3)


@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette(form):
    image, colours = palette_image()
    assert (decoded(encode(image, form)) == colours).all()
    assert (decoded(image) == colours).all()


def test_palette_with_transparent_entries():
    image, colours = palette_image()
    alpha = np.arange(256, dtype=np.uint8)
    data = encode(image, "PNG", transparency=alpha.tobytes())
    assert_close(decoded(data), on_white(colours, alpha.reshape(16, 16)), 0)
    expected = colours.copy()
    expected[0, 7] = WHITE
    for form in ("PNG", "GIF"):
        assert (decoded(encode(image, form, transparency=7)) == expected).all()
    image = image.convert("PA")
    image.putalpha(Image.fromarray(alpha.reshape(16, 16)))
    assert_close(decoded(image), on_white(colours, alpha.reshape(16, 16)), 0)


def test_one_transparent_colour():
    colours = blocks()
    clear = colours[0, 0]
    data = encode(Image.fromarray(colours), "PNG", transparency=tuple(map(int, clear)))
    expected = np.where((colours == clear).all(-1, keepdims=True), 255, colours)
    assert (expected != colours).any()
    assert (decoded(data) == expected).all()
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = encode(Image.fromarray(grey), "PNG", transparency=9)
    assert (decoded(data)[..., 1] == np.where(grey == 9, 255, grey)).all()


def test_grey_of_16_bits_is_scaled_not_clipped():
    values = np.random.default_rng(5).integers(0, 65536, (16, 16), dtype=np.uint16)
    values[0] = np.arange(16) * 17 * 257
    expected = np.rint(values / 257)[..., None]
    assert (expected[0, :, 0] == np.arange(16) * 17).all()
    image = Image.fromarray(values)
    assert image.mode == "I;16"
    big = Image.frombytes("I;16B", (16, 16), values.astype(">u2").tobytes())
    wide = Image.fromarray(values.astype(np.int32))
    assert wide.mode == "I"
    for source in (
        image,
        big,
        wide,
        encode(image, "PNG"),
        encode(big, "TIFF"),
        encode(wide, "PPM"),
    ):
        assert (decoded(source) == expected).all()
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    clear = (b"tRNS", struct.pack(">H", values[3, 3]))
    result = decoded(png(16, 16, 16, 0, rows, [clear]))
    assert (result == np.where(values == values[3, 3], 255, expected[..., 0])[..., None]).all()


def test_colour_of_16_bits_keeps_the_high_bytes():
    values = np.random.default_rng(6).integers(0, 65536, (4, 4, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    # Pillow's own conversion: at most one level below dividing by 257.
    assert (decoded(png(4, 4, 16, 2, rows)) == values >> 8).all()


def test_pixels_without_a_known_white_are_refused(tmp_path):
    for values in (np.ones((4, 4), np.float32), np.full((4, 4), 70000), np.full((4, 4), -1)):
        image = Image.fromarray(values.astype(np.float32 if values.dtype.kind == "f" else np.int32))
        path = tmp_path / "depth.tif"
        image.save(path)
        for source in (image, path):
            assert "0 to 65535; save it with 8 or 16 bits" in refusal(source)


def cmyk_squares():
    inks = np.random.default_rng(7).integers(0, 256, (2, 4, 4), dtype=np.uint8)
    return inks.repeat(16, axis=0).repeat(16, axis=1)


def through_inks(inks):
    """RGB of (..., 4) cyan, magenta, yellow and black: each ink takes its share of the light."""
    light = 255 - inks.astype(float)
    return light[..., :3] * light[..., 3:] / 255


def test_cmyk():
    inks = cmyk_squares()
    image = Image.fromarray(inks, "CMYK")
    # Pillow rounds the product once.
    assert_close(decoded(encode(image, "TIFF")), through_inks(inks), 1)
    # Pillow writes CMYK JPEGs as Adobe does, inverted. In flat squares, quality 100 keeps each ink
    # to half a level, doubled by the rounding of the samples: two inks at 1, and the product.
    assert_close(decoded(encode(image, "JPEG", quality=100)), through_inks(inks), 3)


def test_ycck():
    # The same samples declared (Adobe transform 2) as YCC of inverted inks, and inverted black.
    samples = 255 - cmyk_squares().astype(float)
    data = encode(Image.fromarray(cmyk_squares(), "CMYK"), "JPEG", quality=100)
    place = data.index(b"Adobe") + 11
    assert data[place] == 0
    data = data[:place] + b"\2" + data[place + 1 :]
    y, cb, cr, k = np.moveaxis(samples, -1, 0)
    rgb = [
        y + 1.402 * (cr - 128),
        y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128),
        y + 1.772 * (cb - 128),
    ]
    expected = (255 - np.stack(rgb, axis=-1).clip(0, 255)) * k[..., None] / 255
    # A level in each sample is up to 2.8 (1 + 1.772) in blue; 1 in black, 1 in rounding.
    assert_close(decoded(data), expected, 5)


@pytest.mark.parametrize(("mode", "tolerance"), [("YCbCr", 2), ("HSV", 4), ("LAB", 4)])
def test_other_colour_spaces(mode, tolerance):
    # Half a level in each of three numbers: up to 1.4 for YCbCr; the angle of HSV, of 256 steps
    # for a full turn of 6 x 255, up to 3; LAB's 256 steps hold 2.55 of lightness and more of hue.
    colours = blocks() // 2 + 64
    image = Image.fromarray(colours).convert(mode)
    assert_close(decoded(image), colours, tolerance)
    if mode == "LAB":
        assert_close(decoded(encode(image, "TIFF")), colours, tolerance)


def test_first_frame_of_an_animation():
    first, second = (Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (40, 200))
    for form in ("GIF", "PNG", "TIFF", "WEBP", "MPO"):
        data = encode(first, form, save_all=True, append_images=[second])
        with Image.open(io.BytesIO(data)) as image:
            assert image.n_frames == 2
        assert_close(decoded(data), np.full((16, 16, 3), 40), 1)  # of lossy codecs in a flat image


def test_a_photo_of_many_strips_is_joined_without_seams():
    rng = np.random.default_rng(8)
    pixels = rng.integers(0, 256, (1101, 2003, 4), dtype=np.uint8)  # 2.2 strips of 1 megapixel
    image = Image.fromarray(pixels)
    expected = on_white(pixels[..., :3], pixels[..., 3])
    assert_close(decoded(image), expected, 0)
    # 1101 // (2 x 180) = 3: means of 3 x 3, fewer at the far edges. Pillow divides with
    # a fixed point, so that a mean may be rounded the wrong way.
    whole = expected[:1101, :2001].reshape(367, 3, 667, 3, 3).mean(axis=(1, 3))
    reduced = decoded(image, minimum_size=(180, 100))
    assert reduced.shape == (367, 668, 3)
    assert np.abs(reduced[:, :667] - whole).max() < 1


# Upright.


def stored(picture, orientation):
    """How a camera held that way stores `picture`: what EXIF's orientation has to undo."""
    return {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.swapaxes(0, 1),
        6: np.rot90(picture),  # shown after a quarter turn clockwise
        7: picture[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(picture, -1),
    }[orientation]


def orientation_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(form, orientation):
    picture = blocks()
    image = Image.fromarray(np.ascontiguousarray(stored(picture, orientation)))
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    data = encode(image, form, exif=orientation_exif(orientation), **options)
    # JPEG at quality 100: a level in each of Y, Cb and Cr, up to 2.8 in blue.
    tolerance = 3 if form == "JPEG" else 0
    assert_close(decoded(data), picture, tolerance)
    with Image.open(io.BytesIO(data)) as opened:
        upright = photos.decode(opened)
    assert_close(upright, picture, tolerance)
    assert_close(decoded(upright), picture, tolerance)  # and not turned again


@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_orientation_of_a_photo_decoded_at_reduced_scale(orientation):
    picture = scene(1200, 1800)
    image = Image.fromarray(np.ascontiguousarray(stored(picture, orientation)))
    data = encode(image, "JPEG", quality=95, exif=orientation_exif(orientation))
    assert photos.decode(data, (224, 224)).size == (600, 900)
    assert photos.decode(data, (100, 224)).size == (600, 900)
    assert photos.decode(data, (600, 900)).size == (1200, 1800)
    expected = Image.fromarray(picture).resize((100, 150), Image.Resampling.BOX)
    result = photos.load(data, 100, 150, "box")
    assert np.abs(result.astype(int) - np.asarray(expected)).mean() < 1


def test_bad_exif_leaves_the_photo_as_it_is_stored():
    picture = Image.fromarray(blocks())
    good = orientation_exif(6).tobytes()
    entry = good.index(struct.pack(">HHI", 0x0112, 3, 1))
    broken = [
        b"Exif\0\0",
        b"Exif\0\0garbage that is no TIFF",
        good[:12],
        good[: entry + 6],
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        good[:entry] + struct.pack(">HHI4s", 0x0112, 2, 4, b"abc\0") + good[entry + 12 :],
        good[:entry] + struct.pack(">HHII", 0x0112, 3, 2**31, 9) + good[entry + 12 :],
        orientation_exif(0).tobytes(),
        orientation_exif(9).tobytes(),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning of Pillow's must not become the user's
        for form in ("JPEG", "PNG", "WEBP"):
            plain = decoded(encode(picture, form))
            for exif in broken:
                assert (decoded(encode(picture, form, exif=exif)) == plain).all()


def exif_that_grows(tags, size):
    """EXIF whose tags, after the orientation, all hold the same `size` bytes."""
    begin = 8 + 2 + 12 * (tags + 1) + 4
    entries = struct.pack("<HHII", 0x0112, 3, 1, 3)
    entries += b"".join(struct.pack("<HHII", 40_000 + i, 7, size, begin) for i in range(tags))
    head = b"II*\0" + struct.pack("<IH", 8, tags + 1)
    return b"Exif\0\0" + head + entries + bytes(4 + size)


@pytest.mark.parametrize(
    ("form", "tags", "size"), [("PNG", 20_000, 500_000), ("JPEG", 2_000, 40_000)]
)
def test_of_exif_nothing_but_the_orientation_is_unpacked(form, tags, size):
    picture = blocks()
    options = {"quality": 100, "subsampling": 0} if form == "JPEG" else {}
    data = encode(Image.fromarray(picture), form, exif=exif_that_grows(tags, size), **options)
    tracemalloc.start()
    try:
        turned = decoded(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(data) + 1_000_000
    finally:
        tracemalloc.stop()
    assert_close(turned, picture[::-1, ::-1], 3)


def test_xmp_orientation_counts_where_there_is_no_exif():
    picture = blocks()
    xmp = b'<rdf:Description tiff:Orientation="3"/>'
    data = encode(Image.fromarray(picture), "JPEG", quality=100, subsampling=0, xmp=xmp)
    assert_close(decoded(data), picture[::-1, ::-1], 3)


# Large photos.


def test_a_12_megapixel_jpeg_decoded_at_reduced_scale_looks_the_same():
    data = encode(Image.fromarray(scene(4000, 3000)), "JPEG", quality=90)
    # 3000 // 448 = 6, and JPEG has the scale 1/4.
    assert photos.decode(data, (224, 224)).size == (1000, 750)
    whole = photos.decode(data)
    assert whole.size == (4000, 3000)
    for name in ("bilinear", "bicubic"):
        expected = photos.resize(whole, 224, 224, name).astype(int)
        assert np.abs(photos.load(data, 224, 224, name) - expected).mean() < 1


def test_a_large_png_is_reduced_before_it_is_resized():
    data = encode(Image.fromarray(scene(1500, 1400)), "PNG", compress_level=1)
    assert photos.decode(data, (224, 224)).size == (500, 467)
    expected = photos.resize(photos.decode(data), 224, 224, "bilinear").astype(int)
    assert np.abs(photos.load(data, 224, 224) - expected).mean() < 1


def with_size(form, width, height):
    """A file of a few bytes whose header claims width x height pixels."""
    if form == "PNG":
        return png(width, height, 8, 6, b"\0" * 100)
    if form == "PPM":
        return b"P6 %d %d 255\n" % (width, height) + b"\0" * 100
    data = bytearray(encode(Image.new("RGB", (16, 16)), form))
    if form == "JPEG":
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">HH", height, width)
    elif form == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
        place = data.index(b"\x2c\0\0\0\0") + 5
        data[place : place + 4] = struct.pack("<HH", width, height)
    elif form == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif form == "TIFF":
        for tag, value in ((256, width), (257, height)):
            place = data.index(struct.pack("<HHI", tag, 4, 1)) + 8
            data[place : place + 4] = struct.pack("<I", value)
    return bytes(data)


@pytest.mark.parametrize("form", ["PNG", "PPM", "JPEG", "GIF", "BMP", "TIFF"])
def test_a_decompression_bomb_is_refused_by_its_header(form, monkeypatch):
    # Pillow warns from 89 megapixels on and fails from 179 on; neither is to be seen.
    sizes = (8001, 8000), (10000, 9000), (30000, 30000)
    bombs = [(width, height, with_size(form, width, height)) for width, height in sizes]
    loads = []
    monkeypatch.setattr(Image.Image, "load", lambda image: loads.append(image))
    for width, height, data in bombs:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            start = time.perf_counter()
            message = refusal(data)
            assert time.perf_counter() - start < 1
        assert f"is {width} x {height} pixels; expected 1 to 64,000,000: resize it" in message
    assert not loads


def test_a_webp_bomb_is_refused_by_its_header():
    picture = encode(Image.new("RGB", (16, 16)), "WEBP")[12:]
    size = struct.pack("<I", 16382)[:3] * 2
    chunks = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + size
    frame = b"\0" * 6 + struct.pack("<I", 15)[:3] * 2 + b"\0" * 4 + picture
    for name, data in ((b"ANIM", b"\0" * 6), (b"ANMF", frame)):
        chunks += name + struct.pack("<I", len(data)) + data
    message = refusal(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    assert message.endswith("resize it")  # Pillow 13 notices before we can


def test_the_pixel_limit_is_exact(monkeypatch):
    monkeypatch.setattr(photo_file, "MAXIMUM_PIXELS", 100)
    for make in (lambda image: encode(image, "PNG"), np.asarray, lambda image: image):
        assert photos.decode(make(Image.new("RGB", (20, 5)))).size == (20, 5)
        assert "is 101 x 1 pixels" in refusal(make(Image.new("RGB", (101, 1))))
    assert "is 0 x 4 pixels" in refusal(Image.new("RGB", (0, 4)))


def test_a_bomb_of_text_is_refused():
    zeros = zlib.compress(b"\0" * 30_000_000, 9)
    text = (b"zTXt", b"Comment\0\0" + zeros)
    start = time.perf_counter()
    assert "damaged" in refusal(png(4, 4, 8, 2, b"\0" * 52, [text]))
    assert time.perf_counter() - start < 2


def test_what_decoding_would_hold_is_limited(monkeypatch):
    image = Image.fromarray(scene(400, 300))
    needs = {  # bytes a pixel, from what was measured at 64 megapixels
        ("PNG", ()): 4,
        ("WEBP", ()): 16,
        ("JPEG", (("subsampling", 0),)): 4,
        ("JPEG", (("progressive", True), ("subsampling", 0))): 4 + 6,
        ("JPEG", (("progressive", True), ("subsampling", 2))): 4 + 3,
    }
    header = 4_000  # bytes at most: what stands before the pixels counts three times
    for (form, options), need in needs.items():
        data = encode(image, form, **dict(options))
        files = 4 if form == "WEBP" else 1  # it is read whole
        limit = exact_memory(data, monkeypatch)
        assert 0 <= limit - need * 120_000 - files * len(data) < 3 * header
        assert photos.decode(data).size == (400, 300)
    # At half its scale, a progressive photo needs as many coefficients.
    limit = exact_memory(data, monkeypatch, minimum_size=(50, 37))
    assert 0 <= limit - 3 * 120_000 - 4 * 200 * 150 - len(data) < 3 * header
    assert photos.decode(data, (50, 37)).size == (200, 150)


def exact_memory(data, monkeypatch, **options):
    """What decoding is said to take; from here on exactly that is allowed."""
    monkeypatch.setattr(photo_file, "MAXIMUM_MEMORY", 0)
    found = re.search(r"takes ([\d,]+) bytes to decode, over 0; resize", refusal(data, **options))
    said = int(found[1].replace(",", ""))
    monkeypatch.setattr(photo_file, "MAXIMUM_MEMORY", said - 1)
    assert "bytes to decode, over" in refusal(data, **options)
    monkeypatch.setattr(photo_file, "MAXIMUM_MEMORY", said)
    return said


def test_conversion_never_copies_a_large_photo_whole(monkeypatch):
    sizes = []
    opaque = photos._opaque
    monkeypatch.setattr(photos, "_opaque", lambda strip: sizes.append(strip.size) or opaque(strip))
    photos.load(Image.new("RGBA", (3000, 2000)), 224, 224)
    assert sum(height for _, height in sizes) == 2000
    assert max(width * height for width, height in sizes) <= 1_000_000


def progressive_with_scans(extra, between=b""):
    data = encode(Image.fromarray(blocks()), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] + (between + data[last:-2]) * extra + data[-2:]


def test_a_jpeg_of_thousands_of_scans_is_refused():
    picture = decoded(progressive_with_scans(0))
    assert decoded(progressive_with_scans(80)).shape == picture.shape
    comment = b"\xff\xfe\0\6ab\xff\xd9"  # the marker of the end, where it is none
    many = progressive_with_scans(5000), progressive_with_scans(5000, comment)
    picture = encode(Image.fromarray(blocks()), "JPEG")
    for data in (*many, picture[:2] + b"\xff\xe0\0\2" * 2_000_000 + picture[2:]):
        start = time.perf_counter()
        assert "over 100 scans" in refusal(data)
        assert time.perf_counter() - start < 1


def test_what_follows_a_jpeg_is_not_counted():
    data = encode(Image.fromarray(blocks()), "JPEG")  # as in a motion photo
    assert (decoded(data + b"\xff\xda\0\2" * 50_000) == decoded(data)).all()


# What is no photo.


def test_each_error_says_what_came_and_what_to_do(tmp_path, monkeypatch):
    missing = tmp_path / "nope.jpg"
    assert refusal(missing) == (
        f"{missing}: no such file or directory; check its path and access rights"
    )
    assert refusal(str(missing)) == refusal(missing)
    assert re.search("folder.*give the path of a photo", refusal(tmp_path))
    assert re.search("device.*give the path of a photo", refusal(os.devnull))

    empty = tmp_path / "empty.jpg"
    empty.touch()
    assert refusal(empty) == f"{empty}: is empty (0 bytes); copy it again from its source"
    assert "photo given as bytes: is empty" in refusal(b"")
    assert "photo given as BytesIO: is empty" in refusal(io.BytesIO())

    text = tmp_path / "notes.jpg"
    text.write_text("Dear diary,\n")
    message = refusal(text)
    assert message.startswith(f"{text}: expected JPEG, MPO, PNG, WEBP, GIF, BMP, TIFF, PPM, found")
    assert r"a file beginning with b'Dear diary,\n'; convert it to JPEG" in message
    assert r"beginning with b'P3 1 1 255 0'; convert it" in refusal(b"P3 1 1 255 0 0 0\n")
    assert "found HEIF or AVIF; convert it to JPEG" in refusal(b"\0\0\0\x18ftypheic" + b"\0" * 20)

    whole = encode(Image.fromarray(scene(64, 64)), "JPEG")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole[: len(whole) // 2])
    assert re.search(r"damaged or cut short \(OSError.*; copy it again", refusal(cut))
    assert "damaged or cut short" in refusal(whole[:30])

    strange = tmp_path / "a\nb.jpg"
    assert repr("a\nb.jpg")[1:-1] in refusal(strange)

    for source in (None, 3, [[1, 2]], io.StringIO("text")):
        assert "expected a path, bytes, a binary file, an image or a" in refusal(source)

    def deny(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(photos.os, "stat", deny)  # tests may run as root, whom nothing is denied
    assert "permission denied; check its path and access rights" in refusal(cut)


def test_a_file_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "MAXIMUM_FILE_BYTES", 1000)
    path = tmp_path / "film.jpg"
    path.write_bytes(b"\xff\xd8\xff" + b"\0" * 998)
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        assert "has 1,001 bytes; expected 1,000 at most" in refusal(source)
    monkeypatch.setattr(photos.io, "FileIO", None)
    assert "has 1,001 bytes" in refusal(path)


def test_too_little_memory_is_said_so(monkeypatch):
    def fail():
        raise MemoryError

    image = Image.new("RGB", (4, 4))
    monkeypatch.setattr(image, "load", fail)
    assert refusal(image).endswith("decoding it takes more memory than there is; resize it")


FILES = {
    "JPEG": ("JPEG", {}),
    "progressive JPEG": ("JPEG", {"progressive": True, "exif": orientation_exif(6)}),
    "CMYK JPEG": ("JPEG", {}),
    "MPO": ("MPO", {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}),
    "PNG": ("PNG", {"exif": orientation_exif(6)}),
    "palette PNG": ("PNG", {"transparency": 3}),
    "WebP": ("WEBP", {"exif": orientation_exif(6)}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "TIFF": ("TIFF", {}),
    "LZW TIFF": ("TIFF", {"compression": "tiff_lzw"}),
    "JPEG TIFF": ("TIFF", {"compression": "jpeg"}),
    "PPM": ("PPM", {}),
}


def file_of(kind):
    form, options = FILES[kind]
    image = Image.fromarray(scene(48, 40))
    if kind == "CMYK JPEG":
        image = image.convert("CMYK")
    elif kind == "palette PNG":
        image = image.quantize(200)
    return encode(image, form, **options)


@pytest.mark.parametrize("kind", FILES)
def test_half_a_file_is_refused(kind):
    data = file_of(kind)
    assert photos.load(data, 24, 20).shape == (20, 24, 3)
    message = refusal(data[: len(data) // 2])
    assert "damaged or cut short" in message


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_gives_an_array_or_an_image_error(kind):
    rng = np.random.default_rng(sum(kind.encode()))
    data = file_of(kind)
    messages = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for attempt in range(300):
            broken = bytearray(data)
            if attempt % 3 == 0:
                del broken[rng.integers(len(data)) :]
            else:  # half of them in the header
                end = len(data) if attempt % 3 == 1 else min(len(data), 300)
                for place in rng.integers(0, end, rng.integers(1, 5)):
                    broken[place] ^= 1 << rng.integers(8)
            try:
                array = photos.load(bytes(broken), 24, 20)
            except ImageError as error:
                messages.append(str(error))
            else:
                assert array.shape == (20, 24, 3)
                assert array.dtype == np.uint8
    assert all(message.isprintable() for message in messages)
    assert all(message.startswith("photo given as bytes: ") for message in messages)
    assert len(messages) > 50  # most truncations at least


# What decoding leaves behind.


def test_nothing_of_pillow_is_changed():
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
    photos.load(encode(Image.fromarray(blocks()), "JPEG"), 24, 20)
    refusal(b"GIF89a")
    after = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
    assert before == after


def test_threads_hide_pillows_warnings_and_restore_the_filters():
    exif = orientation_exif(6).tobytes()[:20]
    data = encode(Image.fromarray(blocks()), "TIFF", compression="tiff_lzw")
    data = [encode(Image.fromarray(blocks()), "PNG", exif=exif), data[:-5], data]
    failures = []

    def work(index):
        try:
            for turn in range(30):
                source = data[(index + turn) % len(data)]
                try:
                    photos.load(source, 24, 20)
                except ImageError as error:
                    if source is not data[1]:
                        failures.append(error)
        except BaseException as error:
            failures.append(error)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == filters
    assert not failures


def test_a_jpeg_loads_one_parser_only(tmp_path):
    path = tmp_path / "cat.jpg"
    Image.fromarray(blocks()).save(path)
    script = (
        "import sys; from edgecap import image; image.load(sys.argv[1], 24, 20);"
        "print(*[m for m in sys.modules if m.endswith('Plugin') or m == 'PIL.ImageOps'])"
    )
    root = Path(photos.__file__).parents[1]
    command = [sys.executable, "-c", script, str(path)]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["PIL.JpegImagePlugin"]
    assert result.stderr == ""


def test_a_refused_photo_leaves_nothing_until_garbage_is_collected():
    data = b"\0" * 20_000_000
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        with pytest.raises(ImageError):
            photos.decode(io.BytesIO(data))
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
        gc.enable()
