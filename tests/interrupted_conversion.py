"""A conversion that is killed again and again, against one that nobody disturbs.

    python tests/interrupted_conversion.py DATA FOLDER

converts DATA into FOLDER/shapes.edgecap, with FOLDER/work; `compare` starts and kills that.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDERS = [str(HERE.parent / part) for part in (".", "runtime", "converter", "tests", "tests/data")]
sys.path[:0] = FOLDERS

SMALL = (
    "--preset frozen --encoder tiny --encoder-weights random --epochs 6 --batch 25 "
    "--learning-rate 0.01 --features 32 --attention 32 --embedding 32 --hidden 64 --max-words 12 "
    "--calibration-photos 32 --max-quality-loss 100"
)

from edgecap.bundle import Bundle  # noqa: E402


def command(data: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Starts the conversion in a process of its own."""
    return subprocess.Popen(
        [sys.executable, __file__, data, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(FOLDERS)},
        stderr=subprocess.PIPE,
    )


def finish(data: Path, folder: Path) -> str:
    """Converts to the end; the hash of the bundle."""
    child = command(data, folder)
    said = child.communicate()[1]
    if child.returncode != 0:
        raise _failure(child, said)
    return Bundle.open(folder / "shapes.edgecap").manifest.sha256


def _failure(child: subprocess.Popen[bytes], said: bytes) -> RuntimeError:
    end = said.decode(errors="replace")[-300:]
    return RuntimeError(f"the conversion ended with {child.returncode}: {end}")


def left_over(folder: Path) -> list[Path]:
    """Temporary files in a folder of conversions."""
    return [
        path
        for path in folder.rglob("*")
        if path.name.startswith((".", "export-")) or path.name.endswith(".partial")
    ]


def compare(folder: Path, kills: int, seed: int = 0) -> tuple[int, bool, int]:
    """Kills at random moments, from the start to what a whole conversion took.

    Returns:
        How many conversions were killed, whether each that came to its end gave the same bundle
        as one that nobody disturbed, and how many temporary files are left.
    """
    from shapes import write_corpus

    data = write_corpus(folder / "data" / "shapes", train=100, dev=20)
    begin = time.monotonic()
    expected = finish(data, folder / "undisturbed")
    seconds = time.monotonic() - begin
    generator, place, done, finished = random.Random(seed), folder / "killed", 0, 0
    bundle, begin = place / "shapes.edgecap", time.monotonic()
    while done < kills:
        if bundle.exists():
            # From the start once more, or nothing would be left to kill.
            place.rename(folder / f"finished-{finished}")
            finished += 1
            # On a busy machine the undisturbed one may have been slow: few of the others would
            # be running when their moment comes.
            seconds, begin = min(seconds, time.monotonic() - begin), time.monotonic()
        child = command(data, place)
        try:
            said = child.communicate(timeout=generator.uniform(0, seconds))[1]
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            done += 1
        else:
            if child.returncode != 0:
                raise _failure(child, said)
    if bundle.exists():
        place.rename(folder / f"finished-{finished}")
    finish(data, place)
    hashes = {Bundle.open(one).manifest.sha256 for one in folder.glob(f"*/{bundle.name}")}
    return done, hashes == {expected}, len(left_over(place))


def main(data: Path, folder: Path) -> int:
    """`edgecap convert` of `data` with the tiny encoder, which it does not know; its exit status.

    Into `folder/shapes.edgecap`, with `folder/work`.
    """
    from make_tiny_bundle import TINY

    from edgecap.cli import main as edgecap
    from edgecap_converter.encoders import ENCODERS

    ENCODERS[TINY.name] = TINY
    places = ("--data", data, "--output", folder / "shapes.edgecap", "--work", folder / "work")
    return edgecap(["convert", *map(str, places), *SMALL.split()])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
