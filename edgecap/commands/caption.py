"""`edgecap caption`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

from edgecap.cli import print_error, print_line
from edgecap.commands.engine import backend_option, threads_option
from edgecap.contract import MAXIMUM_WORDS
from edgecap.errors import EdgecapError, UsageError
from edgecap_runtime import options, sources
from edgecap_runtime.startup import without_collections, without_engine_notes

if TYPE_CHECKING:
    from edgecap_runtime import Captioner, Result
    from edgecap_runtime.sources import Photo

STANDARD_INPUT, STANDARD_INPUT_DESCRIPTOR = "-", 0
_IN_A_COLUMN = str.maketrans({"\t": "\\t", "\n": "\\n"})


@click.command()
@click.argument("images", nargs=-1, metavar="IMAGE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each photo.")
@click.option("--bundle", metavar="PATH", help="Bundle folder or file.  [default: the packaged]")
@click.option(
    "--beam",
    type=click.IntRange(1, options.MAXIMUM_BEAM),
    default=1,
    show_default=True,
    help="Captions that the search keeps; 1 is fastest.",
)
@click.option(
    "--max-words",
    type=click.IntRange(1, MAXIMUM_WORDS),
    help="The longest caption.  [default: the bundle's]",
)
@threads_option
@backend_option
@click.option(
    "--from",
    "list_path",
    metavar="FILE",
    help="Read more images from FILE, one a line; - is standard input.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, options.MAXIMUM_TIMEOUT, min_open=True),
    default=options.DEFAULT_TIMEOUT,
    show_default=True,
    help="Seconds that an address may take.",
)
@click.pass_context
def command(
    context: click.Context,
    images: tuple[str, ...],
    as_json: bool,
    bundle: str | None,
    beam: int,
    max_words: int | None,
    threads: int | None,
    backend: str,
    list_path: str | None,
    timeout: float,
) -> None:
    """Say in a sentence what a photo shows.

    IMAGE is a file, a folder (searched with all below it), a pattern, an http(s) address, or - for
    a photo on standard input. One photo gives its caption, several a line each: the path, a
    tab, the caption.

    \b
    Example:  edgecap caption holiday/ --json
    """
    if not images and list_path is None:
        raise click.UsageError("No photo given: expected IMAGE... or --from FILE.")
    if [*images, list_path].count(STANDARD_INPUT) > 1:
        raise click.UsageError("Standard input can be read once only.")
    one = list_path is None and len(images) == 1 and _is_one_photo(images[0])
    print_result = _print_json if as_json else partial(_print_text, with_path=not one)

    with contextlib.ExitStack() as stack:
        listed = _open_list(list_path, stack)
        photos = _photos(images, listed, timeout)
        with without_collections(), without_engine_notes():
            from edgecap_runtime import Captioner

            captioner = Captioner.load(bundle, threads=threads, backend=backend)
        results = _results(captioner, photos, one, beam, max_words)
        stack.enter_context(contextlib.closing(results))
        failed = 0
        for result in results:
            print_result(result)
            failed += result.error is not None
    if failed:
        context.exit(EdgecapError.exit_code)


def _is_one_photo(argument: str) -> bool:
    return argument == STANDARD_INPUT or sources.is_one_photo(argument)


def _open_list(path: str | None, stack: contextlib.ExitStack) -> int | None:
    """File descriptor of the list of images."""
    if path is None or path == STANDARD_INPUT:
        return None if path is None else STANDARD_INPUT_DESCRIPTOR
    try:
        return stack.enter_context(open(path, "rb", buffering=0)).fileno()  # noqa: PTH123
    except OSError as error:
        raise UsageError(f"--from {path}: cannot be read ({error.strerror})") from error


def _photos(images: tuple[str, ...], listed: int | None, timeout: float) -> Iterator[Photo]:
    for argument in images:
        if argument == STANDARD_INPUT:
            yield sources.Pipe(STANDARD_INPUT, STANDARD_INPUT_DESCRIPTOR)
        else:
            yield from sources.expand(argument, timeout)
    if listed is not None:
        for line in sources.lines(listed):
            yield from sources.expand(line, timeout)


def _results(
    captioner: Captioner, photos: Iterator[Photo], one: bool, beam: int, max_words: int | None
) -> Generator[Result[Photo]]:
    from edgecap_runtime import Result

    if not one:
        yield from captioner.caption_many(photos, beam=beam, maximum_words=max_words)
        return
    photo = next(photos)
    try:
        yield Result(photo, captioner.caption(photo, beam=beam, maximum_words=max_words), None)
    except EdgecapError as error:
        yield Result(photo, None, error)


def _print_json(result: Result[Photo]) -> None:
    line: dict[str, object] = {"path": result.source.name}
    if result.caption is not None:
        line["caption"] = result.caption.text
        line["log_probability"] = result.caption.log_probability
        line["timings_ms"] = {
            stage: round(time, 3) for stage, time in result.caption.timings_ms.items()
        }
    else:
        line["error"] = _print_complaint(result)
    # In ASCII, so that names in bytes that are not UTF-8 survive as escapes.
    print_line(json.dumps(line))


def _print_text(result: Result[Photo], with_path: bool) -> None:
    if result.caption is None:
        _print_complaint(result)
    elif with_path:
        print_line(f"{result.source.name.translate(_IN_A_COLUMN)}\t{result.caption.text}")
    else:
        print_line(result.caption.text)


def _print_complaint(result: Result[Photo]) -> str:
    complaint = str(result.error)
    if not complaint.startswith(result.source.name):
        complaint = f"{result.source.name}: {complaint}"
    print_error(complaint)
    return complaint
