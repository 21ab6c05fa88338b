"""`edgecap caption --output FILE`: all photos of a library, into one file."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgecap.bundle import bundle_sha256
from edgecap.cli import INTERRUPTED, print_error, print_note
from edgecap.clusters import require_ray
from edgecap.commands.progress import Progress
from edgecap.errors import BundleError, EdgecapError, UsageError
from edgecap_runtime import sources
from edgecap_runtime.captioner import default_bundle
from edgecap_runtime.found import Found, find
from edgecap_runtime.journal import Journal
from edgecap_runtime.library import Counts, Done, Library
from edgecap_runtime.sidecar import write_sidecar
from edgecap_runtime.sources import Unreachable
from edgecap_runtime.stored import is_stored, walk_stored

if TYPE_CHECKING:
    from edgecap_runtime import Captioner, Result
    from edgecap_runtime.cluster import ClusterCaptioner
    from edgecap_runtime.isolated import IsolatedCaptioner
    from edgecap_runtime.shards import Shards

    Results: TypeAlias = Generator[Result[Found | Unreachable]]
    AnyCaptioner: TypeAlias = Captioner | IsolatedCaptioner | ClusterCaptioner


class _Terminated(KeyboardInterrupt):
    """Another program, such as systemd, ends this one."""


@dataclass(frozen=True)
class Request:
    """What the options of the same names ask for.

    Attributes:
        listed: more images, given once.
        load: loads the bundle; takes long.
        cluster: where the machines are that caption.
        search: arguments of `Captioner.caption_many`.
    """

    output: str
    bundle: str | None
    images: Sequence[str]
    listed: Iterable[str] | None
    load: Callable[[], AnyCaptioner]
    search: dict[str, Any]
    cluster: str | None
    force: bool
    retry: bool
    sidecar: str | None
    overwrite: bool
    watch: bool
    poll: float | None


def caption_library(request: Request) -> int:
    """Captions what is not captioned yet, and with --watch what arrives; gives the exit status.

    Raises:
        EdgecapError: if the run as a whole cannot go on.
    """
    _check(request)
    stopped = None
    sha256 = bundle_sha256(request.bundle or default_bundle())
    with _ended_by_sigterm(), _open(request, sha256) as output:
        if output.damaged:
            print_note(f"{request.output}: {_damage(output.damaged)} captioned again")
        library = Library(
            output,
            partial(write_sidecar, overwrite=request.overwrite) if request.sidecar else None,
            force=request.force,
            retry=request.retry,
            overwrite=request.overwrite,
        )
        try:
            _run(request, library, partial(_load, request, sha256))
        except KeyboardInterrupt as stop:
            stopped = stop
    counts, summary = library.counts, f"{request.output}: {_summary(library.counts)}"
    if stopped is not None and not (request.watch and isinstance(stopped, _Terminated)):
        print_error(f"interrupted, the same command goes on; {summary}")
        return INTERRUPTED
    print_note(summary)
    incomplete = counts.failed or counts.failed_before or counts.sidecars_failed
    # Being ended is the only end of a watch, and no fault.
    return EdgecapError.exit_code if incomplete and stopped is None else 0


def _check(request: Request) -> None:
    if "-" in request.images:
        raise UsageError("--output is for photos in files: leave out the - for standard input")
    if request.cluster is not None:
        _check_cluster(request)
    if request.watch and (request.listed or not all(Path(one).is_dir() for one in request.images)):
        raise UsageError("--watch is for folders: give nothing else")


def _check_cluster(request: Request) -> None:
    require_ray("edgecap caption")
    if request.watch:
        raise UsageError("--watch is for one machine: leave out --cluster")
    if request.sidecar is not None and any(map(is_stored, request.images)):
        raise UsageError("--sidecar is for photos in files: leave it out")


def _open(request: Request, sha256: str) -> Journal | Shards:
    if request.cluster is None:
        return Journal(request.output, sha256)
    from edgecap_runtime.shards import Shards

    return Shards(request.output, sha256)


def _run(request: Request, library: Library, load: Callable[[], AnyCaptioner]) -> None:
    load = cache(load)

    def caption(photos: Iterator[Found | Unreachable]) -> Results:
        yield from load().caption_many(photos, **request.search)

    def count() -> int | None:
        return None if request.listed else library.count(_photos(request))

    if not request.watch:
        _show(library.run(_photos(request), caption), Progress(count))
        _show_sidecars(library)
        return
    from edgecap_runtime.watch import Watch

    load()  # what is wrong with the bundle shows at once
    with contextlib.closing(Watch(request.images, request.poll, print_note)) as watch:
        _show(library.run(_photos(request), caption, watch.postpone), Progress(count))
        _show_sidecars(library)
        _show(library.follow(watch.photos(), caption, watch.postpone), None)


def _show_sidecars(library: Library) -> None:
    _show(library.complete_sidecars(), Progress(lambda: library.lacking_sidecars))


def _load(request: Request, sha256: str) -> AnyCaptioner:
    captioner = request.load()
    if captioner.bundle.manifest.sha256 != sha256:
        raise BundleError(f"bundle {captioner.bundle.path}: was replaced just now: start again")
    return captioner


def _photos(request: Request) -> Iterator[Found | Unreachable]:
    for argument in itertools.chain(request.images, request.listed or ()):
        if request.cluster is not None and is_stored(argument):
            yield from walk_stored(argument)
            continue
        # A folder that is watched may well be empty.
        found = sources.walk(argument) if request.watch else sources.expand(argument)
        for photo in found:
            if isinstance(photo, sources.File | Unreachable):
                yield find(photo)
            else:
                yield Unreachable(photo.name, "is an address: --output is for photos in files")


def _show(photos: Generator[Done], progress: Progress | None) -> None:
    said = None
    with contextlib.closing(photos):
        for photo in photos:
            if progress is not None:
                progress.advance()
            # What is wrong with a folder is said once, and not for each photo in it.
            if photo.complaint is not None and photo.complaint != said:
                if progress is not None:
                    progress.clear()
                said = photo.complaint
                print_error(said)
    if progress is not None:
        progress.clear()


def _damage(lines: int) -> str:
    if lines == 1:
        return "a line was cut short, its photo is"
    return f"{lines:,} lines were damaged, their photos are"


def _summary(counts: Counts) -> str:
    told = (
        (counts.failed, "failed"),
        (counts.before, "done before"),
        (counts.failed_before, "failed before: --retry tries again"),
        (counts.sidecars_failed, "without a sidecar"),
        (counts.sidecars_kept, "kept somebody's own words: --overwrite replaces them"),
    )
    parts = [f"{counts.captioned:,} captioned", *(f"{n:,} {what}" for n, what in told if n)]
    return ", ".join(parts)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does: what is being done is finished and written down."""

    def end(_number: int, _frame: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
