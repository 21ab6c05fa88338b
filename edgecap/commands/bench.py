"""`edgecap bench`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import click

import edgecap_bench
from edgecap.cli import print_error, print_line
from edgecap.errors import EdgecapError
from edgecap_runtime import options

STANDARD_OUTPUT = "-"


def _each(
    one: click.ParamType[Any], context: click.Context, parameter: click.Parameter, given: str | None
) -> tuple[Any, ...]:
    """Values of one type, with commas between them."""
    if given is None:
        return (None,)
    values = [one.convert(part.strip(), parameter, context) for part in given.split(",")]
    return tuple(dict.fromkeys(values))


@click.command()
@click.argument("bundles", nargs=-1, metavar="[BUNDLE...]")
@click.option(
    "--json", "json_path", metavar="FILE", help="Write the result as JSON; - prints it instead."
)
@click.option(
    "--html", "html_path", metavar="FILE", help="Write a page with charts; needs the extra bench."
)
@click.option(
    "--rounds",
    type=click.IntRange(1, edgecap_bench.MAXIMUM_ROUNDS),
    default=edgecap_bench.DEFAULT_ROUNDS,
    show_default=True,
    help="Turns of each bundle, each in new processes.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, edgecap_bench.MAXIMUM_RUNS),
    default=edgecap_bench.DEFAULT_RUNS,
    show_default=True,
    help="Timed captions in each turn.",
)
@click.option(
    "--warm-up",
    type=click.IntRange(0, edgecap_bench.MAXIMUM_WARM_UP),
    default=edgecap_bench.DEFAULT_WARM_UP,
    show_default=True,
    help="Captions before them that are not timed.",
)
@click.option(
    "--threads",
    callback=partial(_each, click.IntRange(1, options.MAXIMUM_THREADS)),
    metavar="N[,N...]",
    help=f"Cores to use, 1 to {options.MAXIMUM_THREADS}; several are compared.  "
    f"[default: all, at most {options.DEFAULT_THREADS}]",
)
@click.option(
    "--backend",
    callback=partial(_each, click.Choice(options.BACKENDS)),
    default="auto",
    metavar="NAME[,NAME...]",
    show_default=True,
    help=f"The engine: {', '.join(options.BACKENDS)}; several are compared.",
)
@click.option(
    "--photo", "photo_path", metavar="FILE", help="What to caption.  [default: a drawn picture]"
)
@click.option(
    "--data", metavar="DIR", help="A caption corpus: measure quality too; needs the extra bench."
)
@click.option(
    "--split", default="dev", show_default=True, help="With --data: the split to caption."
)
@click.option(
    "--gallery",
    type=click.IntRange(0, edgecap_bench.MAXIMUM_GALLERY),
    default=edgecap_bench.DEFAULT_GALLERY,
    show_default=True,
    help="With --data and --html: photos that the page shows, the worst first.",
)
@click.option(
    "--baseline", metavar="FILE", help="Compare with an earlier --json FILE; worse exits with 1."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1_000),
    default=edgecap_bench.DEFAULT_TOLERANCE,
    show_default=True,
    help="With --baseline: percent by which a figure may be worse.",
)
@click.option(
    "--host",
    metavar="USER@HOST",
    help="Measure there, over ssh; edgecap must be installed there too.",
)
@click.pass_context
def command(
    context: click.Context,
    bundles: tuple[str, ...],
    json_path: str | None,
    html_path: str | None,
    rounds: int,
    runs: int,
    warm_up: int,
    threads: tuple[int | None, ...],
    backend: tuple[str, ...],
    photo_path: str | None,
    data: str | None,
    split: str,
    gallery: int,
    baseline: str | None,
    tolerance: float,
    host: str | None,
) -> None:
    """Measure how fast, how large and how good bundles are.

    BUNDLE is a folder or file; by default the packaged one. Several take turns, as several
    --threads and --backend do, so that their times can be compared. Without --photo a picture is
    drawn in memory, a JPEG of 500 x 375. Every run must give the same words. The last line is a
    row to paste where others share theirs.

    \b
    Example:  edgecap bench my.edgecap --json result.json
    Example:  edgecap bench a.edgecap b.edgecap --data flickr8k --html page.html
    Example:  edgecap bench --host pi@raspberrypi --threads 1,2,4
    """
    from edgecap_bench import remote
    from edgecap_bench.baseline import compare
    from edgecap_bench.page.document import as_html, check_extra
    from edgecap_bench.report import Plan, as_json, read_json, write_text
    from edgecap_bench.session import Order, carry_out
    from edgecap_bench.table import as_text
    from edgecap_runtime import default_bundle

    earlier = None if baseline is None else read_json(baseline)
    order = Order(
        bundles=bundles or (str(default_bundle()),),
        backends=backend,
        threads=threads,
        plan=Plan(rounds, runs, warm_up),
        photo=photo_path,
        dataset=data,
        split=split,
    )
    if html_path is not None:
        check_extra()
    with _progress() as advance:
        if host is None:
            report, shown = carry_out(order, advance)
        else:
            advance(f"measuring on {host}")
            report, shown = remote.carry_out(host, order), []
    complaints = [one.error for one in report.failed]
    comparison = None
    if earlier is not None:
        with _noted(complaints):
            comparison = compare(report, earlier, tolerance)
            worse = filter(comparison.is_worse, comparison.changes)
            complaints += [change.complaint() for change in worse]
    # The result is printed before anything is written that may fail.
    if json_path == STANDARD_OUTPUT:
        print_line(as_json(report))
    else:
        for line in as_text(report, comparison):
            print_line(line)
        if json_path is not None:
            with _noted(complaints):
                write_text("--json", json_path, as_json(report) + "\n")
    if html_path is not None:
        with _noted(complaints):
            write_text("--html", html_path, as_html(report, shown[:gallery], len(shown)))
    for complaint in complaints:
        print_error(complaint)
    if complaints:
        context.exit(EdgecapError.exit_code)


@contextlib.contextmanager
def _noted(complaints: list[str]) -> Iterator[None]:
    """What goes wrong inside becomes a complaint, and the command goes on."""
    try:
        yield
    except EdgecapError as error:
        complaints.append(str(error))


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Says what comes, on a terminal, in one line that is gone in the end."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return

    def show(text: str) -> None:
        with contextlib.suppress(OSError):
            click.echo(f"\r{text}\x1b[K", err=True, nl=False)

    try:
        yield show
    finally:
        show("")
