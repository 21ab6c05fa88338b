"""Rows of grids as the tests make them, importable by the process that makes one.

python tests/grid_rows.py MAKER GRID DATA FOLDER

makes a grid into FOLDER/grid, with FOLDER/work, through a function of this module.
"""

import dataclasses
import os
import resource
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / part) for part in (".", "converter", "runtime", "benchmarks")]
sys.path[:0] = [str(HERE), str(HERE / "data")]

from edgecap.bundle import Bundle, write_bundle  # noqa: E402
from edgecap.manifest import DECODER, ENCODER, TOKENIZER  # noqa: E402
from edgecap.sizes import folder_bytes, member_sizes, zip_bytes  # noqa: E402
from edgecap_converter.conversion import Conversion  # noqa: E402
from edgecap_converter.grid.file import find_grid  # noqa: E402
from edgecap_converter.grid.requests import GridConversion  # noqa: E402
from edgecap_converter.grid.result import GridResult, Made, Size  # noqa: E402
from edgecap_converter.grid.row import make_row  # noqa: E402
from edgecap_converter.grid.run import convert_grid  # noqa: E402

TINY_BUNDLE = HERE / "data" / "tiny.edgecap"
LOG = "made.txt"
"""In the working folder, a line for each row that was begun."""
SPANS = "spans.txt"
"""Likewise, of `meeting_row`: name, begin and end, monotonic seconds."""


def copied_row(request: Conversion) -> Made:
    """The tiny bundle under the row's name, without training; or a way to fail, by the recipe."""
    request.work.mkdir(parents=True, exist_ok=True)
    with (request.work / LOG).open("a") as log:
        log.write(f"{os.getpid()} {request.output.name}\n")
    match request.decoder_compression:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "no-memory":
            raise MemoryError
        case "no-rights":
            (HERE / "nowhere" / "file").read_bytes()
        case "fault":
            raise ValueError("two\nlines")
        case "full-disk":
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        case "endless":
            time.sleep(600)
    bundle = Bundle.open(TINY_BUNDLE)
    manifest = dataclasses.replace(
        bundle.manifest, name=request.output.name.removesuffix(".edgecap")
    )
    members = {
        ENCODER: bundle.encoder, DECODER: bundle.decoder, TOKENIZER: bundle.tokenizer.to_json()
    }  # fmt: skip
    manifest = write_bundle(request.output, manifest, members, request.as_zip)
    sizes = member_sizes(request.output)
    assert manifest.measured is not None
    return Made(
        manifest.sha256,
        {one.name: Size(one.bytes, one.deflated_bytes) for one in sizes},
        folder_bytes(sizes),
        zip_bytes(sizes),
        None,
        50.0 if request.decoder_compression == "prune:50" else None,
        manifest.measured,
        0.0,
    )


def meeting_row(request: Conversion) -> Made:
    """As `copied_row`; a1 and b1 wait for each other, and lost is made in another place."""
    name = request.output.name.removesuffix(".edgecap")
    begin, end = time.monotonic(), time.monotonic() + 300
    request.work.mkdir(parents=True, exist_ok=True)
    (request.work / f"begun-{name}").touch()
    other = {"a1": "b1", "b1": "a1"}.get(name, name)
    while not (request.work / f"begun-{other}").exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{other} did not begin")
        time.sleep(0.05)
    if name == "lost":
        request = dataclasses.replace(request, output=request.work / request.output.name)
    made = copied_row(request)
    with (request.work / SPANS).open("a") as file:
        file.write(f"{name} {begin} {time.monotonic()}\n")
    return made


def know_tiny() -> None:
    """Registers the tiny encoder."""
    from make_tiny_bundle import TINY

    from edgecap_converter.encoders import ENCODERS

    ENCODERS[TINY.name] = TINY


def tiny_row(request: Conversion) -> Made:
    """A row with the tiny encoder, in earnest; that named disk has no room for its export."""
    know_tiny()
    if request.output.name == "disk.edgecap":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    return make_row(request)


def asked(grid: Path, data: Path, folder: Path) -> GridConversion:
    """What the tests ask for."""
    return GridConversion(
        grid=find_grid(str(grid)),
        data=data,
        output=folder / "grid",
        work=folder / "work",
        encoder_weights="random",
        calibration_photos=32,
    )


def without_times(result: GridResult) -> GridResult:
    """What must be the same, however often it is made and wherever it was stopped."""
    rows = (
        dataclasses.replace(
            row,
            times=None,
            outcome=dataclasses.replace(row.outcome, seconds=0.0)
            if isinstance(row.outcome, Made)
            else row.outcome,
        )
        for row in result.rows
    )
    return dataclasses.replace(result, rows=tuple(rows), conditions=None)


if __name__ == "__main__":
    # By its name as a module: the process of a row finds its function there.
    import grid_rows

    maker, *places = sys.argv[1:]
    convert_grid(asked(*map(Path, places)), getattr(grid_rows, maker))
