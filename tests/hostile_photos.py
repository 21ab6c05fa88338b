"""Photos that are broken or meant to do harm, made by code, and a check that none does any.

    python tests/hostile_photos.py make FOLDER [MUTATED]
    python tests/hostile_photos.py check FOLDER

`make` writes the hand-made files, and MUTATED more (by default 2,000) that grew out of sound ones
by flipped, cut, doubled and exchanged bytes. `check` captions all with the packaged bundle, one
after the other, and prints JSON: how many were captioned and refused, the most processor time that
one took and the most memory that the process ever held.
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / part) for part in (".", "runtime")]

MUTATED = 2_000
# Names of hand-made files that are sound, only large or odd, begin like this: they get captions.
SOUND = "sound-"
MEGABYTE = 1_000_000


def encode(image, form, **options):
    file = io.BytesIO()
    image.copy().save(file, form, **options)  # Pillow leaves settings behind on what it saved
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    """One of a JPEG's."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    """One of a PNG's."""
    crc = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)


def png(width: int, height: int, bits: int, colour: int, *chunks: bytes, interlace=0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """That many zero bytes, deflated."""
    packer = zlib.compressobj(9)
    part = b"\0" * MEGABYTE
    packed = [packer.compress(part[: min(MEGABYTE, count - i)]) for i in range(0, count, MEGABYTE)]
    return b"".join((*packed, packer.flush()))


def tiff(tags: list[tuple[int, int, int, int]], rest: bytes, begin: int = 8) -> bytes:
    """A TIFF of raw entries (tag, type, count, value); `rest` follows its directory."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", begin, len(tags)) + entries + bytes(4) + rest


def picture(width: int, height: int, *more: tuple[int, int, int, int]) -> list[tuple[int, ...]]:
    """Entries of a grey TIFF, its strips not among them."""
    return [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (262, 3, 1, 1), *more]


def bmp(width: int, height: int, compression: int, body: bytes, bits: int = 8) -> bytes:
    palette = bytes(4 << bits) if bits <= 8 else b""
    begin = 54 + len(palette)
    head = struct.pack("<IHHI", begin + len(body), 0, 0, begin)
    info = (40, width, height, 1, bits, compression, len(body), 0, 0, 0, 0)
    return b"BM" + head + struct.pack("<IiiHHIIiiII", *info) + palette + body


def gif(width: int, height: int, blocks: bytes, frame: tuple[int, int, int, int]) -> bytes:
    lzw = b"\2\2\x4c\1\0"
    image = b"," + struct.pack("<HHHHB", *frame, 0) + lzw
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
        + bytes(6)
        + blocks
        + image
        + b";"
    )


def jpegs() -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    plain = encode(Image.new("RGB", (64, 48), (90, 140, 200)), "JPEG")
    head, rest = plain[:2], plain[2:]
    exif = segment(0xE1, b"Exif\0\0" + bytes(65_000))
    yield "exif-63-mb.jpg", head + exif * 970 + rest
    yield "comments.jpg", head + segment(0xFE, b"") * 9_900 + rest
    yield (
        "profile-parts.jpg",
        head + segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(60_000)) * 255 + rest,
    )
    yield (
        "photoshop.jpg",
        head + segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5_400) * 200 + rest,
    )
    yield "mpf.jpg", head + segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 60_000) + rest
    yield "junk.jpg", head + b"\0" * (30 * MEGABYTE) + rest
    yield "fill.jpg", head + b"\xff" * (30 * MEGABYTE) + rest
    yield "sound-trailer.jpg", plain + bytes(60 * MEGABYTE)
    frame = plain.index(b"\xff\xc0") + 5
    yield (
        "claims-4-gigapixels.jpg",
        plain[:frame] + struct.pack(">HH", 65_500, 65_500) + plain[frame + 4 :],
    )
    yield (
        "no-components.jpg",
        head
        + segment(0xC0, struct.pack(">BHHB", 8, 64, 64, 0))
        + segment(0xDA, bytes(4))
        + bytes(99),
    )
    wide = Image.new("RGB", (12_000, 9_000), (90, 140, 200))
    yield "sound-108-megapixels.jpg", encode(wide, "JPEG")
    yield "sound-48-megapixels.jpg", encode(wide.crop((0, 0, 8_000, 6_000)), "JPEG", quality=95)
    progressive = encode(wide.crop((0, 0, 7_000, 7_000)), "JPEG", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    yield "many-scans.jpg", progressive[:-2] + progressive[last:-2] * 85 + progressive[-2:]
    arithmetic = bytearray(progressive)
    arithmetic[arithmetic.index(b"\xff\xc2") + 1] = 0xCA
    yield "arithmetic.jpg", bytes(arithmetic)


def pngs() -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    row = chunk(b"IDAT", zlib.compress(bytes(4 * 13)))
    letters = zlib.compress(("\N{GRINNING FACE}" + "x" * 900_000).encode())
    text = chunk(b"iTXt", b"k\0\1\0\0\0" + letters)
    yield "texts.png", png(4, 4, 8, 2, *[text] * 60, row)
    yield "texts-behind.png", png(4, 4, 8, 2, row, *[text] * 60)
    yield "text-bomb.png", png(4, 4, 8, 2, chunk(b"zTXt", b"k\0\0" + zeros(300 * MEGABYTE)), row)
    yield "profile-bomb.png", png(4, 4, 8, 2, chunk(b"iCCP", b"k\0\0" + zeros(300 * MEGABYTE)), row)
    data = zlib.compress(bytes(4 * 13))
    drops = [chunk(b"IDAT", data[i : i + 1]) for i in range(len(data))]
    yield "empty-chunks.png", png(4, 4, 8, 2, *[chunk(b"IDAT", b"")] * MEGABYTE, *drops)
    yield "unknown-chunks.png", png(4, 4, 8, 2, *[chunk(b"abCd", b"x")] * 90_000, row)
    yield "frames.png", png(4, 4, 8, 2, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), row)
    exif = b"II*\0" + struct.pack("<IH", 8, 65_535)
    exif += b"".join(struct.pack("<HHII", i, 7, 600_000, 8) for i in range(65_535))
    yield "exif-grows.png", png(4, 4, 8, 2, chunk(b"eXIf", exif), row)
    wide = zeros(8_000 * (8_000 * 3 + 1))
    yield (
        "sound-63-megapixels.png",
        png(7_900, 7_900, 8, 2, chunk(b"IDAT", zeros(7_900 * (7_900 * 3 + 1)))),
    )
    yield (
        "deep-63-megapixels.png",
        png(7_900, 7_900, 16, 6, chunk(b"IDAT", zeros(7_900 * (7_900 * 8 + 1)))),
    )
    yield (
        "interlaced.png",
        png(7_900, 7_900, 1, 0, chunk(b"IDAT", zeros(8 * MEGABYTE + 20_000)), interlace=1),
    )
    yield "too-much-data.png", png(4, 4, 8, 2, chunk(b"IDAT", wide))
    yield "row.png", png(60_000_000, 1, 1, 0, chunk(b"IDAT", zeros(7_500_001)))
    transparent = Image.new("P", (4_000, 4_000))
    transparent.putpalette(bytes(768))
    yield "sound-transparent.png", encode(transparent, "PNG", transparency=bytes(256))


def tiffs() -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    count = 2_000_000
    places = 8 + 2 + 12 * 6 + 4
    offsets = struct.pack("<I", 8) * count
    yield (
        "strips.tif",
        tiff([*picture(1, count), (273, 4, count, places), (279, 4, count, places)], offsets),
    )
    yield (
        "short-strips.tif",
        tiff([*picture(1, count), (273, 3, count, places), (278, 4, 1, 1)], offsets),
    )
    rows = 60_000
    yield (
        "many-strips.tif",
        tiff([*picture(900, rows), (273, 4, rows, places), (278, 4, 1, 1)], offsets + bytes(9_000)),
    )
    shared = [(1_000 + i, 7, 900_000, 8) for i in range(60_000)]
    yield "tags-share.tif", tiff([*picture(4, 4, (273, 4, 1, 8)), *shared], bytes(MEGABYTE))
    sub = struct.pack("<H", 60_000) + b"".join(struct.pack("<HHII", *one) for one in shared)
    pointer = 8 + 2 + 12 * 6 + 4
    yield (
        "sub-tags-share.tif",
        tiff([*picture(4, 4, (273, 4, 1, 8)), (34_665, 4, 1, pointer)], sub + bytes(4 + MEGABYTE)),
    )
    one = picture(4, 4, (273, 4, 1, 8))
    second = 8 + 2 + 12 * len(one) + 4
    yield (
        "second-shares.tif",
        tiff(one, b"")[:-4] + struct.pack("<I", second) + sub + bytes(4 + MEGABYTE),
    )
    yield "circle.tif", tiff(one, b"")[:-4] + struct.pack("<I", 8)
    yield "doubles.tif", tiff([*one, (282, 12, 2**31, 8)], b"")
    yield "samples.tif", tiff([*one, (277, 4, 1, 2**32 - 1)], b"")
    yield (
        "huge-tile.tif",
        tiff(
            [
                *picture(4_000, 4_000, (259, 3, 1, 8)),
                (322, 4, 1, 60_000),
                (323, 4, 1, 60_000),
                (324, 4, 1, 8),
                (325, 4, 1, 999),
            ],
            zeros(400 * MEGABYTE),
        ),
    )
    lzw = Image.new("RGB", (7_900, 7_900))
    yield "one-strip.tif", encode(lzw, "TIFF", compression="tiff_lzw", tiffinfo={278: 7_900})
    yield "turned.tif", encode(lzw, "TIFF", compression="tiff_adobe_deflate", tiffinfo={274: 6})
    smaller = lzw.crop((0, 0, 5_000, 5_000))
    yield (
        "sound-turned.tif",
        encode(smaller, "TIFF", compression="tiff_adobe_deflate", tiffinfo={274: 6}),
    )
    yield "sound-25-megapixels.tif", encode(smaller, "TIFF")
    yield "fax.tif", encode(lzw.convert("1"), "TIFF", compression="group4")
    yield "jpeg.tif", encode(smaller, "TIFF", compression="jpeg")
    yield "wide-row.tif", tiff([*picture(16 * MEGABYTE, 1), (273, 4, 1, 8)], bytes(16 * MEGABYTE))


def others() -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    comment = b"!\xfe" + b"\1x" * (8 * MEGABYTE) + b"\0"
    yield "comments.gif", gif(4, 4, comment, (0, 0, 4, 4))
    yield "extensions.gif", gif(4, 4, b"!\xf9\4\0\0\0\0\0" * (2 * MEGABYTE), (0, 0, 4, 4))
    yield "screen.gif", gif(65_535, 65_535, b"", (0, 0, 4, 4))
    yield "beyond.gif", gif(4, 4, b"", (65_000, 65_000, 4, 4))
    yield "sound-63-megapixels.gif", encode(Image.new("P", (7_900, 7_900)), "GIF")
    yield "ends-of-line.bmp", bmp(60_000, 1_000, 1, b"\1\1\0\0" * 1_000)
    yield "deltas.bmp", bmp(7_900, 7_900, 1, b"\0\2\xff\xff" * 1_000)
    yield "runs.bmp", bmp(7_900, 7_900, 2, b"\xff\1" * 300_000, bits=4)
    yield "row.bmp", bmp(20 * MEGABYTE, 1, 0, bytes(60 * MEGABYTE), bits=24)
    yield "sound-25-megapixels.bmp", bmp(5_000, -5_000, 0, bytes(75 * MEGABYTE), bits=24)
    yield "levels.ppm", b"P6 2000 2000 254\n" + bytes(12 * MEGABYTE)
    yield "sound-levels.ppm", b"P6 300 200 254\n" + bytes(180_000)
    yield "deep.pgm", b"P5 4000 4000 65535\n" + bytes(32 * MEGABYTE)
    yield "row.ppm", b"P6 16000000 1 255\n" + bytes(48 * MEGABYTE)
    yield "comment.ppm", b"P6\n#" + b"x" * (40 * MEGABYTE) + b"\n4 4 255\n" + bytes(48)
    yield "digits.ppm", b"P6 " + b"9" * (4 * MEGABYTE)
    yield "sound-bits.pbm", b"P4 7900 7900\n" + bytes(988 * 7_900)
    large = Image.new("RGB", (16_000, 3_900), (90, 140, 200))
    yield "lossless.webp", encode(large, "WEBP", lossless=True, quality=0, method=0)
    small = Image.new("RGB", (64, 48))
    yield "exif.webp", encode(small, "WEBP", exif=b"Exif\0\0" + bytes(90 * MEGABYTE))
    frames = [Image.new("RGB", (64, 48), (i, 0, 0)) for i in range(200)]
    yield "sound-frames.webp", encode(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    yield "sound-frames.gif", encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    sound = encode(small, "JPEG")
    yield "sound-archive.jpg", sound + b"PK\5\6" + bytes(18)
    yield "script.gif", b"GIF89a/*" + b"<script>alert(1)</script>*/=1;" * 99
    yield "page.png", b"\x89PNG\r\n\x1a\n<html>" + b"<p>" * 999
    yield "heif.jpg", b"\0\0\0\x18ftypheic" + bytes(99)
    yield "riff.webp", b"RIFF\xff\xff\xff\xffWEBPVP8X\xff\xff\xff\xff" + bytes(99)


def hand_made() -> Iterator[tuple[str, bytes]]:
    """Names and contents of files that were thought out, one at a time: some are large."""
    for kind in (jpegs, pngs, tiffs, others):
        yield from kind()


def seeds() -> list[tuple[str, bytes]]:
    """Sound small photos in every form that is decoded."""
    from PIL import Image

    sys.path.append(str(HERE))
    from shapes import COLOURS, draw

    image = draw("circle", "red", "blue", random.Random(1), 40)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a maker of cameras"
    again = image.rotate(90)
    clear = image.convert("RGBA")
    clear.putalpha(120)
    forms = [
        ("jpg", image, "JPEG", {"exif": exif, "comment": b"hello"}),
        ("jpg", image, "JPEG", {"progressive": True, "icc_profile": bytes(200)}),
        ("jpg", image.convert("CMYK"), "JPEG", {}),
        ("jpg", image.convert("L"), "JPEG", {"xmp": b'<x tiff:Orientation="3"/>'}),
        ("mpo", image, "MPO", {"save_all": True, "append_images": [again]}),
        ("png", image, "PNG", {"exif": exif}),
        ("png", clear, "PNG", {"compress_level": 0}),
        ("png", image.quantize(20), "PNG", {"transparency": 3}),
        ("png", image.convert("L").convert("I;16"), "PNG", {}),
        ("png", image, "PNG", {"save_all": True, "append_images": [again]}),
        ("png", image.convert("1"), "PNG", {}),
        ("webp", image, "WEBP", {"exif": exif}),
        ("webp", clear, "WEBP", {"lossless": True}),
        ("webp", image, "WEBP", {"save_all": True, "append_images": [again]}),
        ("gif", image, "GIF", {"comment": b"hello"}),
        ("gif", image, "GIF", {"save_all": True, "append_images": [again], "loop": 0}),
        ("bmp", image, "BMP", {}),
        ("bmp", image.convert("P"), "BMP", {}),
        ("tif", image, "TIFF", {"exif": exif}),
        ("tif", clear, "TIFF", {"compression": "tiff_lzw"}),
        ("tif", image, "TIFF", {"compression": "jpeg"}),
        ("tif", image.convert("CMYK"), "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("tif", image.convert("1"), "TIFF", {"compression": "group4"}),
        ("tif", image.convert("F"), "TIFF", {}),
        ("tif", image, "TIFF", {"compression": "packbits"}),
        ("tif", image, "TIFF", {"save_all": True, "append_images": [image.rotate(9)]}),
        ("ppm", image, "PPM", {}),
        ("pgm", image.convert("L").convert("I"), "PPM", {}),
        ("pbm", image.convert("1"), "PPM", {}),
    ]  # fmt: skip
    assert COLOURS
    made = [(f"{i:02}.{end}", encode(*rest[:2], **rest[2])) for i, (end, *rest) in enumerate(forms)]
    rle = bmp(40, 40, 1, (b"\x28\1\0\0" * 40) + b"\0\1")
    return [*made, (f"{len(made)}.bmp", rle)]


def mutation(content: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    """The content with one to four things wrong with it."""
    broken = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        # Headers are short, and what is wrong with them matters most.
        end = generator.choice((len(broken), min(len(broken), 200)))
        place = generator.randrange(end) if end else 0
        length = generator.choice((1, 2, 4, generator.randint(1, 400)))
        match generator.randrange(8):
            case 0:
                del broken[place:]
            case 1:
                del broken[place : place + length]
            case 2:
                broken[place:place] = broken[place : place + length] * generator.randint(1, 9)
            case 3:
                broken[place : place + 4] = generator.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\x80")
                )
            case 4:
                other = generator.choice(others)
                start = generator.randrange(len(other))
                broken[place : place + length] = other[start : start + length]
            case _:
                if broken:
                    broken[place] ^= 1 << generator.randrange(8)
    return bytes(broken)


def mutated(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`count` broken photos, the same for the same seed."""
    generator, sound = random.Random(seed), seeds()
    contents = [content for _, content in sound]
    for index in range(count):
        name, content = sound[index % len(sound)]
        yield f"mutated-{seed}-{index:06}-{name}", mutation(content, generator, contents)


def check(folder: Path) -> dict[str, object]:
    """Captions every file; anything but a caption or an `ImageError` ends it."""
    from edgecap.errors import ImageError
    from edgecap_runtime import Captioner

    captioner = Captioner.load(threads=1)
    captions = refused = 0
    slowest, wrong = (0.0, ""), []
    for path in sorted(folder.iterdir()):
        # What was begun last shows if the process dies.
        print(path.name, file=sys.stderr, flush=True)
        begin = time.process_time()
        try:
            captioner.caption(path)
            captions += 1
        except ImageError as error:
            refused += 1
            if path.name.startswith(SOUND) or "\n" in str(error):
                wrong.append(str(error))
        slowest = max(slowest, (time.process_time() - begin, path.name))
        print(
            round(time.process_time() - begin, 2),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
            file=sys.stderr,
        )
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "captioned": captions,
        "refused": refused,
        "wrong": wrong,
        "slowest_seconds": round(slowest[0], 2),
        "slowest": slowest[1],
        "peak_megabytes": round(kilobytes * 1_024 / MEGABYTE, 1),
    }


def main(arguments: list[str]) -> int:
    action, folder = arguments[0], Path(arguments[1])
    if action == "check":
        print(json.dumps(check(folder)))
        return 0
    count = int(arguments[2]) if len(arguments) > 2 else MUTATED
    for name, content in mutated(count):
        (folder / name).write_bytes(content)
    for name, content in hand_made():
        (folder / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
