"""`edgecap bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import edgecap_bench
from edgecap.cli import print_error, print_line
from edgecap.commands.engine import backend_option, threads_option
from edgecap.errors import EdgecapError
from edgecap_runtime.startup import without_engine_notes

if TYPE_CHECKING:
    from edgecap_bench.latency import Latency
    from edgecap_bench.report import Failed, Measured, Photo, Report
    from edgecap_runtime import Captioner

STANDARD_OUTPUT = "-"


@click.command()
@click.argument("bundles", nargs=-1, metavar="[BUNDLE...]")
@click.option(
    "--json", "json_path", metavar="FILE", help="Write the result as JSON; - prints it instead."
)
@click.option(
    "--runs",
    type=click.IntRange(1, edgecap_bench.MAXIMUM_RUNS),
    default=edgecap_bench.DEFAULT_RUNS,
    show_default=True,
    help="Timed captions with each bundle.",
)
@click.option(
    "--warm-up",
    type=click.IntRange(0, edgecap_bench.MAXIMUM_WARM_UP),
    default=edgecap_bench.DEFAULT_WARM_UP,
    show_default=True,
    help="Captions before them that are not timed.",
)
@threads_option
@backend_option
@click.option(
    "--photo", "photo_path", metavar="FILE", help="What to caption.  [default: a drawn picture]"
)
@click.pass_context
def command(
    context: click.Context,
    bundles: tuple[str, ...],
    json_path: str | None,
    runs: int,
    warm_up: int,
    threads: int | None,
    backend: str,
    photo_path: str | None,
) -> None:
    """Measure how fast and how large bundles are.

    BUNDLE is a folder or file; by default the packaged one. Several take turns, so that their times
    can be compared. Without --photo a picture is drawn in memory, a JPEG of 500 x 375. Every
    timed run must give the same words.

    \b
    Example:  edgecap bench my.edgecap --json result.json
    """
    from edgecap_bench.conditions import machine
    from edgecap_bench.report import FORMAT, VERSION, Failed, Report, as_json
    from edgecap_runtime import default_bundle
    from edgecap_runtime.interpreter import find_engine

    before = machine()
    photo, content = _photo(photo_path)
    find_engine(backend)  # without one, no bundle is at fault
    paths = bundles or (str(default_bundle()),)
    results = _measure(paths, threads, backend, content, runs, warm_up)
    report = Report(FORMAT, VERSION, before, photo, tuple(results))
    if json_path == STANDARD_OUTPUT:
        print_line(as_json(report))
    else:
        _show(report, json_path)
    failures = [result for result in results if isinstance(result, Failed)]
    for failure in failures:
        print_error(failure.error)
    if failures:
        context.exit(EdgecapError.exit_code)


def _photo(path: str | None) -> tuple[Photo, bytes]:
    from pathlib import Path

    from edgecap import image
    from edgecap_bench import picture
    from edgecap_bench.report import Photo

    if path is None:
        content = picture.drawn_jpeg()
        return Photo.of(None, picture.SIZE, content), content
    size = image.decode(path).size
    content = Path(path).read_bytes()
    return Photo.of(path, size, content), content


def _measure(
    paths: tuple[str, ...],
    threads: int | None,
    backend: str,
    photo: bytes,
    runs: int,
    warm_up: int,
) -> list[Measured | Failed]:
    from edgecap_bench.latency import measure

    loaded = [_load(path, threads, backend) for path in paths]
    sound = [one for one in loaded if not isinstance(one, EdgecapError)]
    latencies = iter(measure(sound, photo, runs, warm_up))
    return [
        _failed(path, one) if isinstance(one, EdgecapError) else _result(path, one, next(latencies))
        for path, one in zip(paths, loaded, strict=True)
    ]


def _load(path: str, threads: int | None, backend: str) -> Captioner | EdgecapError:
    from edgecap_runtime import Captioner

    try:
        with without_engine_notes():
            return Captioner.load(path, threads=threads, backend=backend)
    except EdgecapError as error:
        return error


def _result(path: str, captioner: Captioner, latency: Latency | EdgecapError) -> Measured | Failed:
    from edgecap.sizes import member_sizes
    from edgecap_bench.conditions import setup
    from edgecap_bench.report import Measured, Sizes

    if isinstance(latency, EdgecapError):
        return _failed(path, latency)
    name = captioner.bundle.manifest.name
    return Measured(path, name, setup(captioner), Sizes.of(member_sizes(path)), latency)


def _failed(path: str, error: EdgecapError) -> Failed:
    from edgecap_bench.report import Failed

    complaint = str(error)
    return Failed(path, complaint if path in complaint else f"{path}: {complaint}")


def _show(report: Report, json_path: str | None) -> None:
    """Prints the table, even if the file cannot be written."""
    from edgecap_bench.report import as_text, write_json

    try:
        if json_path is not None:
            write_json(json_path, report)
    finally:
        for line in as_text(report):
            print_line(line)
