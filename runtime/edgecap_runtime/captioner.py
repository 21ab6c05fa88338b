"""Photos to captions: the door that Python programs use."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from edgecap.bundle import Bundle
from edgecap.contract import MAXIMUM_WORDS
from edgecap.errors import EdgecapError, UsageError
from edgecap_runtime.options import DEFAULT_THREADS, MAXIMUM_BEAM, MAXIMUM_THREADS

if TYPE_CHECKING:
    from pathlib import Path

    from edgecap_runtime.interpreter import Engine
    from edgecap_runtime.pipeline import Caption, Image

Source = TypeVar("Source", bound="Image")


@dataclass(frozen=True)
class Result(Generic[Source]):
    """One photo of many: what was given, and either its caption or why there is none."""

    source: Source
    caption: Caption | None
    error: EdgecapError | None


def default_bundle() -> Path:
    """Where the bundle that comes with the package lies."""
    from pathlib import Path

    return Path(_packaged())


def _packaged() -> str:
    # Without pathlib: it takes 3 % of a cold start.
    return os.path.join(os.path.dirname(__file__), "bundles", "flickr8k.edgecap")  # noqa: PTH118, PTH120


def available_threads() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Captioner:
    """A bundle, loaded and ready.

    Safe to share between threads: `caption` takes one photo at a time, the other threads wait;
    `caption_many` gives each of its threads graphs of its own. Not safe across a fork: load
    it in the child.

    Use `Captioner.load`.
    """

    def __init__(self, bundle: Bundle, engine: Engine, threads: int) -> None:
        from edgecap_runtime.pipeline import Pipeline

        self.bundle = bundle
        self.engine = engine
        self.threads = threads
        self._pipeline = Pipeline(bundle, engine, threads)
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        backend: str = "auto",
    ) -> Captioner:
        """Opens a bundle, checks all of it and loads its graphs.

        Args:
            path: a bundle folder or zip file; the packaged bundle if not given.
            threads: cores to use, 1 to 64; by default those there are, at most 4.
            backend: one of `edgecap_runtime.options.BACKENDS`.

        Raises:
            UsageError: if there is nothing at `path`, or an argument is out of its range.
            BundleError: if the bundle is not sound.
            EngineError: if no engine is installed, or it cannot run this bundle.
        """
        if threads is None:
            threads = min(available_threads(), DEFAULT_THREADS)
        _check_range("threads", threads, MAXIMUM_THREADS)
        opening = _Opening(_packaged() if path is None else path)
        from edgecap_runtime.interpreter import find_engine

        engine = find_engine(backend)
        bundle = opening.result()
        engine.check_age(bundle.manifest.oldest_engines)
        return cls(bundle, engine, threads)

    def caption(self, image: Image, *, beam: int = 1, maximum_words: int | None = None) -> Caption:
        """Captions one photo, on all of `threads`.

        Args:
            image: a path, the bytes of an image file, a binary file, a Pillow image, or a
                uint8 array `(height, width, 3)`, RGB.
            beam: how many captions the search keeps, 1 (greedy) to 16.
            maximum_words: the longest caption; by default the bundle's.

        Raises:
            ImageError: if the photo cannot be read.
            UsageError: if `beam` or `maximum_words` is out of its range.
            BundleError, EngineError: if the model fails on this photo.
        """
        longest = self._check_search(beam, maximum_words)
        with self._turn:
            return self._pipeline.caption(image, beam, longest)

    def caption_many(
        self,
        images: Iterable[Source],
        *,
        beam: int = 1,
        maximum_words: int | None = None,
        workers: int | None = None,
    ) -> Iterator[Result[Source]]:
        """Captions photos in the order they come; one that fails does not stop the others.

        Each of `workers` threads takes a photo through all stages by itself, so one photo is
        decoded while another is in the engine. `images` is read in those threads, one item at
        a time and a few ahead of the results, and may be endless.

        Args:
            images: photos as `caption` takes them.
            beam: as in `caption`.
            maximum_words: as in `caption`.
            workers: photos at a time, 1 to 64; by default `threads`.

        Raises:
            UsageError: if an argument is out of its range.
        """
        longest = self._check_search(beam, maximum_words)
        count = self.threads if workers is None else workers
        _check_range("workers", count, MAXIMUM_THREADS)
        return self._many(images, beam, longest, count)

    def _many(
        self, images: Iterable[Source], beam: int, longest: int, count: int
    ) -> Iterator[Result[Source]]:
        from edgecap_runtime.bulk import in_order
        from edgecap_runtime.pipeline import Pipeline

        def worker(image: Source, pipeline: Pipeline) -> Result[Source]:
            try:
                return Result(image, pipeline.caption(image, beam, longest), None)
            except EdgecapError as error:
                return Result(image, None, error)

        pipelines = [Pipeline(self.bundle, self.engine, threads=1) for _ in range(count)]
        return in_order(images, [partial(worker, pipeline=one) for one in pipelines])

    def _check_search(self, beam: int, maximum_words: int | None) -> int:
        _check_range("beam", beam, MAXIMUM_BEAM)
        if maximum_words is None:
            return self.bundle.manifest.maximum_words
        _check_range("maximum_words", maximum_words, MAXIMUM_WORDS)
        return maximum_words


class _Opening(threading.Thread):
    """Opens a bundle while numpy is imported: reading and hashing leave Python to others."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._path = path
        self.start()

    def run(self) -> None:
        self._outcome: Bundle | BaseException
        try:
            self._outcome = Bundle.open(self._path)
        except BaseException as error:
            self._outcome = error

    def result(self) -> Bundle:
        self.join()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


def _check_range(name: str, value: int, highest: int) -> None:
    if not 1 <= value <= highest:
        raise UsageError(f"{name} is {value}: give 1 to {highest}")
