"""A photo of 12 megapixels: how soon it is small, and whether the words stay the same."""

from __future__ import annotations

import io
from functools import partial

from PIL import Image

from edgecap import image
from edgecap_bench.picture import drawn_jpeg
from edgecap_runtime import Captioner
from edgecap_runtime.startup import without_engine_notes
from targets.workbench import Result, Workbench, in_turns

SIZE = (4_000, 3_000)
QUALITY = 90
PAIRS, WARM_UP = 15, 2
MOST_OF_A_FULL_DECODE = 0.25
# Enlarging photos takes most of the time.
WORDS_PHOTOS = 100


def large_photo(workbench: Workbench) -> Result:
    """Decode and resize of a 12-megapixel JPEG against the same by a full decode; then words.

    The time of the full decode alone is told beside it: half of that is the file's Huffman code,
    which has to be read whatever the size that is wanted. Words of the photos as they are must be
    those of the full decode. How many enlarged ones get others is told too: a change of a tenth of
    a grey level, less than between two versions of Pillow, is enough where two words are as likely.
    """
    with without_engine_notes():
        captioner = Captioner.load(workbench.bundle_path)
    wanted = captioner.bundle.manifest.input
    size = (wanted.width, wanted.height)

    def ours(content: bytes) -> image.Array:
        return image.load(content, *size, wanted.resampling)

    def full(content: bytes) -> image.Array:
        return image.resize(_decoded(content), *size, wanted.resampling)

    content = _enlarged(io.BytesIO(drawn_jpeg()))
    works = [partial(way, content) for way in (ours, full, _decoded)]
    ours_ms, full_ms, decode_ms = in_turns(works, PAIRS, WARM_UP)
    changed, changed_large = [], []
    for path in workbench.photos(WORDS_PHOTOS):
        for photo, others in ((path.read_bytes(), changed), (_enlarged(path), changed_large)):
            said, expected = (captioner.caption(way(photo)).words for way in (ours, full))
            others.append(said != expected)
    share = ours_ms / full_ms
    measured = (
        f"{100 * share:.0f} %: {ours_ms:.1f} ms, by a full decode {full_ms:.1f} ms (without its "
        f"resize {decode_ms:.1f} ms); medians of {PAIRS} turns; other words on {sum(changed)} of "
        f"{len(changed)} photos, and on {sum(changed_large)} of them enlarged to 12 megapixels"
    )
    return Result(measured, share <= MOST_OF_A_FULL_DECODE and not any(changed))


def _decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _enlarged(source: object) -> bytes:
    with Image.open(source) as photo:  # type: ignore[arg-type]
        large = photo.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    large.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
