"""`edgecap convert --grid`: every row in a process of its own; then time, table, picture.

Rows that agree in their first stages find them in the working folder. Each row that is done is
noted in `grid.json`, so that a stopped grid goes on with the next.
"""

import contextlib
import dataclasses

from edgecap.bundle import Bundle
from edgecap.clusters import require_ray
from edgecap.datasets import load_dataset, select
from edgecap.errors import EdgecapError
from edgecap_converter.conversion import Conversion
from edgecap_converter.frameworks import require_extra
from edgecap_converter.grid.cluster import on_cluster
from edgecap_converter.grid.forecast import announce
from edgecap_converter.grid.making import Job, Make, in_turn
from edgecap_converter.grid.picture import as_svg
from edgecap_converter.grid.requests import GridConversion, corpus_sha256, request_key
from edgecap_converter.grid.result import GridResult, Made, RowResult, read_result
from edgecap_converter.grid.row import make_row
from edgecap_converter.grid.table import as_csv, as_markdown
from edgecap_converter.grid.timing import time_bundles
from edgecap_converter.progress import say
from edgecap_converter.storage import whole_file

MARKDOWN, CSV, SVG = "grid.md", "grid.csv", "grid.svg"


def convert_grid(asked: GridConversion, make: Make = make_row) -> GridResult:
    """Makes every bundle of a grid that is not there yet, times all, writes table and picture.

    A row that fails says so in its line of the table and is tried again by the next call.

    Args:
        make: makes one row's bundle; a function of a module, called in another process.

    Raises:
        EdgecapError: if nothing can be done: the extra is not installed, the corpus is not sound,
            the output folder holds other things or cannot be written, no cluster answers.
    """
    require_extra("matplotlib")
    if asked.cluster is not None:
        require_ray("edgecap convert")
    asked.require_weights()
    photos = load_dataset(asked.data)
    for split in ("train", "dev"):
        select(photos, split)
    requests = [asked.request(row) for row in asked.grid.rows]
    result = _kept(asked, requests, corpus_sha256(asked.data.name, photos))
    result.write(asked.output)

    waiting = [index for index, row in enumerate(result.rows) if row.outcome is None]
    kept = len(requests) - len(waiting)
    announce(asked.grid.name, [requests[index] for index in waiting], kept)
    count = len(requests)
    jobs = [
        Job(index, f"row {index + 1} of {count}: {result.rows[index].name}", requests[index])
        for index in waiting
    ]
    made = in_turn(jobs, make) if asked.cluster is None else on_cluster(asked.cluster, jobs, make)
    with contextlib.closing(made):
        for index, outcome in made:
            row = dataclasses.replace(result.rows[index], outcome=outcome)
            if row.error is not None:
                say(f"{row.name} failed: {row.error}")
            result = result.with_row(index, row)
            result.write(asked.output)

    result = _timed(result, requests)
    result.write(asked.output)
    for name, content in (
        # What failed may name a file whose name is no text.
        (MARKDOWN, as_markdown(result).encode(errors="backslashreplace")),
        (CSV, as_csv(result).encode(errors="backslashreplace")),
        (SVG, as_svg(result)),
    ):
        with whole_file(asked.output / name) as file:
            file.write(content)
    return result


def _kept(asked: GridConversion, requests: list[Conversion], corpus: str) -> GridResult:
    """All rows: with the outcome of an earlier run where that still holds, without times."""
    earlier = read_result(asked.output)
    known = {row.name: row for row in earlier.rows} if earlier is not None else {}
    rows = []
    for row, request in zip(asked.grid.rows, requests, strict=True):
        fresh = RowResult(
            name=row.name,
            encoder=row.plan.encoder,
            encoder_compression=row.encoder_compression,
            decoder=row.plan.decoder,
            decoder_compression=row.decoder_compression,
            key=request_key(request, corpus),
        )
        before = known.get(row.name)
        if before is not None and before.key == fresh.key and _is_whole(request, before):
            fresh = dataclasses.replace(fresh, outcome=before.outcome)
        rows.append(fresh)
    return GridResult(asked.grid.name, asked.grid.about, tuple(rows))


def _is_whole(request: Conversion, row: RowResult) -> bool:
    """Whether the row's bundle is there as it was made."""
    if not isinstance(row.outcome, Made):
        return False
    try:
        return Bundle.open(request.output).manifest.sha256 == row.outcome.sha256
    except EdgecapError:
        return False


def _timed(result: GridResult, requests: list[Conversion]) -> GridResult:
    """With the times of all bundles, measured now."""
    made = [i for i, row in enumerate(result.rows) if isinstance(row.outcome, Made)]
    if not made:
        return result
    conditions, times = time_bundles([requests[index].output for index in made])
    result = dataclasses.replace(result, conditions=conditions)
    for index, one in zip(made, times, strict=True):
        result = result.with_row(index, dataclasses.replace(result.rows[index], times=one))
    return result
