"""Coverage-guided fuzzing of what strangers' files reach: photos and bundles.

    python tests/fuzzing/fuzz.py photo|bundle [--runs N] [--seed N] [FILE...]

Needs atheris. Anything but a result or an `EdgecapError` of one line is a crash, and so is a run
of 10 seconds or 800 MB; the file that did it is written to `tests/data/found/`, which
`tests/test_found.py` tries ever after. FILEs are tried instead, once each; that needs no atheris.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / part) for part in (".", "runtime", "tests")]

FOUND = HERE.parent / "data" / "found"
LONGEST_BYTES, LONGEST_SECONDS, MOST_MEGABYTES = 20_000, 10, 800
SIDE = 32


def photo(content: bytes) -> None:
    """Through the image path, to the size of an encoder."""
    from edgecap import image
    from edgecap.errors import ImageError

    with refused(ImageError):
        assert image.load(content, SIDE, SIDE).shape == (SIDE, SIDE, 3)


def bundle(content: bytes) -> None:
    """As a zip file, a manifest and a tokenizer: whatever is accepted must be what was sealed."""
    from edgecap.bundle import Bundle, read_manifest
    from edgecap.errors import BundleError
    from edgecap.tokenizer import Tokenizer

    sound = small_members()
    with tempfile.NamedTemporaryFile(suffix=".edgecap") as file:
        file.write(content)
        file.flush()
        with refused(BundleError):
            opened = Bundle.open(file.name)
            assert [opened.encoder, opened.decoder] == [sound[n] for n in GRAPHS]
    with refused(BundleError):
        assert read_manifest(content).to_json()
    with refused(BundleError):
        tokenizer = Tokenizer.from_json(content)
        assert Tokenizer.from_json(tokenizer.to_json()).words == tokenizer.words


@contextlib.contextmanager
def refused(kind: type[Exception]):
    """Lets a refusal of one line pass."""
    try:
        yield
    except kind as error:
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error}") from error


GRAPHS = ("encoder.tflite", "decoder.tflite")
_SMALL: dict[str, bytes] = {}


def small_members() -> dict[str, bytes]:
    """A sound bundle whose graphs are a few bytes, which only an engine would mind."""
    if not _SMALL:
        from edgecap.bundle import MANIFEST, Bundle
        from edgecap.manifest import DECODER, ENCODER, TOKENIZER

        tiny = Bundle.open(HERE.parent / "data" / "tiny.edgecap")
        contents = (b"an encoder", b"a decoder", tiny.tokenizer.to_json())
        small = dict(zip((ENCODER, DECODER, TOKENIZER), contents, strict=True))
        _SMALL.update({MANIFEST: tiny.manifest.sealed(small).to_json(), **small})
    return _SMALL


def photo_seeds() -> list[bytes]:
    from hostile_photos import seeds

    return [content for _, content in seeds()]


def bundle_seeds() -> list[bytes]:
    members = small_members()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(zipfile.ZipInfo(name), content)
    return [file.getvalue(), members["manifest.json"], members["tokenizer.json"]]


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "photo": (photo, photo_seeds),
    "bundle": (bundle, bundle_seeds),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", metavar="N", type=int, default=2_000)
    parser.add_argument("--seed", metavar="N", type=int, default=1)
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path)
    arguments = parser.parse_args()
    target, seeds = TARGETS[arguments.target]
    if arguments.files:
        for path in arguments.files:
            target(path.read_bytes())
        return

    import atheris

    # What is imported in here is watched; numpy is large, and not what is tested.
    with atheris.instrument_imports(include=["edgecap", "PIL", "zipfile", "json"]):
        import PIL.GifImagePlugin
        import PIL.PngImagePlugin
        import PIL.TiffImagePlugin  # noqa: F401

        import edgecap.bundle
        import edgecap.image  # noqa: F401
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgecap-fuzz-") as corpus:
        for number, content in enumerate(seeds()):
            (Path(corpus) / str(number)).write_bytes(content)
        options = (
            f"-runs={arguments.runs}", f"-seed={arguments.seed}", f"-max_len={LONGEST_BYTES}",
            f"-timeout={LONGEST_SECONDS}", f"-rss_limit_mb={MOST_MEGABYTES}",
            f"-artifact_prefix={FOUND}/{arguments.target}-", corpus,
        )  # fmt: skip
        atheris.Setup([sys.argv[0], *options], target)
        atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    main()
