"""`edgecap caption`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
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
    from edgecap_runtime.cluster import ClusterCaptioner
    from edgecap_runtime.isolated import IsolatedCaptioner
    from edgecap_runtime.sources import Photo

STANDARD_INPUT, STANDARD_INPUT_DESCRIPTOR = "-", 0
# Option -> the one that it is nothing without.
_NEEDS = {
    **dict.fromkeys(("cluster", "force", "retry", "sidecar", "watch"), "output"),
    **{"overwrite": "sidecar", "poll": "watch"},
}
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
    "--isolate",
    is_flag=True,
    help="Run the graphs in a child process: one that crashes or hangs costs that photo only. "
    "Linux.",
)
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
@click.option(
    "--output",
    metavar="FILE",
    help="Write into FILE, a .jsonl or .csv; started again, go on where it stopped.",
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="With --output: on the machines of a Ray cluster, auto, local or HOST:PORT; --output is "
    "then a folder of shards, NAME.jsonl or NAME.parquet, and it and the photos may be addresses "
    "such as s3://BUCKET/NAME.",
)
@click.option("--force", is_flag=True, help="Caption again what --output has.")
@click.option("--retry", is_flag=True, help="Try again what failed according to --output.")
@click.option(
    "--sidecar", type=click.Choice(["xmp"]), help="With --output: write PHOTO.xmp beside each too."
)
@click.option("--overwrite", is_flag=True, help="Let captions replace people's own words there.")
@click.option("--watch", is_flag=True, help="With --output: stay, and caption what arrives.")
@click.option(
    "--poll",
    type=click.FloatRange(1, options.MAXIMUM_POLL_SECONDS),
    help="With --watch: seconds between two looks at all folders.  "
    f"[default: {options.POLL_SECONDS:g}, or {options.NOTIFIED_POLL_SECONDS:g} where the system "
    "tells what arrives]",
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
    isolate: bool,
    list_path: str | None,
    timeout: float,
    output: str | None,
    cluster: str | None,
    force: bool,
    retry: bool,
    sidecar: str | None,
    overwrite: bool,
    watch: bool,
    poll: float | None,
) -> None:
    """Say in a sentence what a photo shows.

    IMAGE is a file, a folder (searched with all below it), a pattern, an http(s) address, or - for
    a photo on standard input. One photo gives its caption, several a line each: the path, a
    tab, the caption.

    With --output a whole library: every photo once, however often the run is stopped and started.
    A photo counts as done while its path, size, date and the bundle stay the same.

    \b
    Example:  edgecap caption holiday/ --json
    Example:  edgecap caption photos/ --output captions.jsonl --sidecar xmp
    Example:  edgecap caption s3://bucket/photos --cluster auto --output s3://bucket/said.parquet
    """
    if not images and list_path is None:
        raise click.UsageError("No photo given: expected IMAGE... or --from FILE.")
    if [*images, list_path].count(STANDARD_INPUT) > 1:
        raise click.UsageError("Standard input can be read once only.")
    for option, needed in _NEEDS.items():
        if context.params[option] and not context.params[needed]:
            raise click.UsageError(f"--{option} needs --{needed}.")
    if as_json and output is not None:
        raise click.UsageError("--json is for standard output; --output FILE.jsonl gives the same.")
    if isolate and cluster is not None:
        raise click.UsageError("--isolate is for one machine: leave out --cluster.")
    one = list_path is None and len(images) == 1 and _is_one_photo(images[0])
    print_result = _print_json if as_json else partial(_print_text, with_path=not one)

    with contextlib.ExitStack() as stack:
        listed = _open_list(list_path, stack)
        engine = (bundle, threads, backend)
        load: Callable[[], Captioner | IsolatedCaptioner] = partial(_load, *engine)
        if isolate:
            load = partial(_load_isolated, *engine, stack)
        if output is not None:
            from edgecap.commands.library import Request, caption_library

            search = {"beam": beam, "maximum_words": max_words}
            lines = None if listed is None else sources.lines(listed)
            chosen = (cluster, force, retry, sidecar, overwrite, watch, poll)
            request = Request(
                output, bundle, images, lines,
                load if cluster is None else partial(_connect, cluster, bundle, threads, backend),
                search, *chosen,
            )  # fmt: skip
            context.exit(caption_library(request))
        photos = _photos(images, listed, timeout)
        results = _results(load(), photos, one, beam, max_words)
        stack.enter_context(contextlib.closing(results))
        failed = 0
        for result in results:
            print_result(result)
            failed += result.error is not None
    if failed:
        context.exit(EdgecapError.exit_code)


def _load(bundle: str | None, threads: int | None, backend: str) -> Captioner:
    with without_collections(), without_engine_notes():
        from edgecap_runtime import Captioner

        return Captioner.load(bundle, threads=threads, backend=backend)


def _connect(
    address: str, bundle: str | None, threads: int | None, backend: str
) -> ClusterCaptioner:
    from edgecap_runtime.cluster import ClusterCaptioner

    return ClusterCaptioner(address, bundle, threads=threads, backend=backend)


def _load_isolated(
    bundle: str | None, threads: int | None, backend: str, stack: contextlib.ExitStack
) -> IsolatedCaptioner:
    from edgecap_runtime.isolated import IsolatedCaptioner

    captioner = IsolatedCaptioner(bundle, threads=threads, backend=backend)
    stack.callback(captioner.close)
    return captioner


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
    captioner: Captioner | IsolatedCaptioner,
    photos: Iterator[Photo],
    one: bool,
    beam: int,
    max_words: int | None,
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
    from edgecap_runtime.records import as_json, contract

    complaint = None if result.error is None else _print_complaint(result, result.error)
    print_line(as_json(contract(result.source.name, result.caption, complaint)))


def _print_text(result: Result[Photo], with_path: bool) -> None:
    if result.error is not None:
        _print_complaint(result, result.error)
    elif result.caption is not None:
        path = f"{result.source.name.translate(_IN_A_COLUMN)}\t" if with_path else ""
        print_line(f"{path}{result.caption.text}")


def _print_complaint(result: Result[Photo], error: EdgecapError) -> str:
    from edgecap_runtime.records import complaint

    text = complaint(result.source.name, error)
    print_error(text)
    return text
