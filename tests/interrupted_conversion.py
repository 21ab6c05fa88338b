"""A conversion that is killed again and again, against one that nobody disturbs.

    python tests/interrupted_conversion.py DATA FOLDER

converts DATA into FOLDER/shapes.edgecap, with FOLDER/work; `compare` starts and kills that.
"""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDERS = [str(HERE.parent / part) for part in (".", "runtime", "converter", "tests", "tests/data")]
sys.path[:0] = FOLDERS

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
    said = child.communicate()[1].decode(errors="replace")
    if child.returncode != 0:
        raise RuntimeError(f"the conversion ended with {child.returncode}: {said[-300:]}")
    return Bundle.open(folder / "shapes.edgecap").manifest.sha256


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
        How many conversions were killed, whether the last one gave the same bundle as one that
        nobody disturbed, and how many temporary files are left.
    """
    from shapes import write_corpus

    data = write_corpus(folder / "data" / "shapes", train=100, dev=20)
    begin = time.monotonic()
    expected = finish(data, folder / "undisturbed")
    seconds = time.monotonic() - begin
    generator, place, done = random.Random(seed), folder / "killed", 0
    while done < kills:
        child = command(data, place)
        try:
            child.communicate(timeout=generator.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            done += 1
            continue
        # It came to its end: from the start once more, or nothing would be left to kill.
        (place / "shapes.edgecap").rename(folder / f"finished-{done}.edgecap")
        (place / "work").rename(folder / f"work-{done}")
    same = finish(data, place) == expected
    return done, same, len(left_over(folder / "killed"))


def main(data: Path, folder: Path) -> None:
    from make_tiny_bundle import tiny_conversion

    from edgecap_converter.conversion import convert

    request = tiny_conversion(data, folder / "shapes.edgecap", folder / "work")
    plan = request.plan.changed({"training.epochs": 6, "training.batch": 25})
    convert(dataclasses.replace(request, plan=plan, calibration_photos=32))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
