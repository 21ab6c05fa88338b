"""A captioner on every machine of a Ray cluster.

Ray Data hands the photos out in blocks, and hands those of a machine that is lost to others; each
machine reads its photos itself, so that only names and captions travel.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgecap
from edgecap.bundle import MANIFEST, Bundle
from edgecap.clusters import cores, joined, one_line
from edgecap.errors import ClusterError, ImageError, UsageError
from edgecap.manifest import DECODER, ENCODER, TOKENIZER
from edgecap_runtime import cluster_worker
from edgecap_runtime.captioner import Result, default_bundle
from edgecap_runtime.cluster_worker import ABSENT, CAPTION, REFUSED, Worker
from edgecap_runtime.options import DEFAULT_THREADS
from edgecap_runtime.sources import Unreachable

if TYPE_CHECKING:
    from edgecap_runtime.found import Found

# Photos that travel together: a second of work or more, so that Ray's share of it stays small.
BLOCK = 128
# Where there are few photos: so many blocks for each actor, so that all have something to do.
LEAST_BLOCKS = 4
# Without anything done Ray would wait for ever, for machines that do not come back or with a photo
# that kills each captioner.
PATIENCE_SECONDS = 600


class ClusterCaptioner:
    """As `Captioner`, for many photos, on all machines of a cluster.

    Args:
        address: as for `edgecap.clusters.joined`.
        path: a bundle folder or zip file; the packaged bundle if not given. Its bytes are sent to
            the machines.
        threads: cores that an actor uses; by default as many as the smallest machine has, at
            most 4. A machine runs as many actors as fit.
        backend: one of `edgecap_runtime.options.BACKENDS`.

    Raises:
        UsageError, BundleError: as `Captioner.load`.
    """

    def __init__(
        self, address: str, path: str | None, *, threads: int | None = None, backend: str = "auto"
    ) -> None:
        self.bundle = Bundle.open(default_bundle() if path is None else path)
        self._address, self._threads, self._backend = address, threads, backend

    def caption_many(
        self, images: Iterable[Found | Unreachable], **search: Any
    ) -> Iterator[Result[Found | Unreachable]]:
        """Captions photos in any order; one that fails does not stop the others.

        Args:
            images: all of them are found before the first is captioned.
            search: `beam` and `maximum_words`, as `Captioner.caption_many` takes them.

        Raises:
            MissingExtraError, UsageError: as `edgecap.clusters.joined`, or if no machine has as
                many cores as an actor is to use.
            ClusterError: if a machine lacks what it needs, or the cluster fails as a whole.
        """
        photos: list[Found] = []
        for image in images:
            if isinstance(image, Unreachable):
                yield Result(image, None, image.error)
            else:
                photos.append(image)
        if not photos:
            return
        with joined(self._address, "edgecap caption") as ray:
            import ray.data.exceptions as failures

            try:
                for photo, answer in self._answers(ray, photos, search):
                    yield _result(photo, answer)
            except (
                ray.exceptions.RayError, failures.SystemException, failures.ExecutionTimeoutError
            ) as error:  # fmt: skip
                raise ClusterError(
                    f"--cluster {self._address}: Ray gave up ({one_line(error)}): see to its "
                    "machines; then the same command goes on"
                ) from error

    def _answers(
        self, ray: Any, photos: Sequence[Found], search: dict[str, Any]
    ) -> Iterator[tuple[Found, dict[str, Any]]]:
        threads, actors = self._layout(cores(ray))
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_no_progress_timeout_s = PATIENCE_SECONDS
        ray.cloudpickle.register_pickle_by_value(cluster_worker)
        rows = [
            {"photo": number, "name": os.fsencode(name), "size": size, "mtime_ns": mtime_ns}
            for number, (name, size, mtime_ns) in enumerate(photos)
        ]
        blocks = max(-(-len(rows) // BLOCK), min(len(rows), LEAST_BLOCKS * actors))
        captioned = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            Worker,
            fn_constructor_kwargs={
                "version": edgecap.__version__,
                "members": ray.put(self._members()),
                "sha256": self.bundle.manifest.sha256,
                "threads": threads,
                "backend": self._backend,
                "search": search,
                "folder": str(Path.cwd()),
            },
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=threads,
        )
        for batch in captioned.iter_batches(batch_size=None, prefetch_batches=0):
            for number, answer in zip(batch["photo"], batch["answer"], strict=True):
                yield photos[number], json.loads(answer)

    def _layout(self, machines: list[int]) -> tuple[int, int]:
        """Threads of an actor, and how many actors there are."""
        threads = self._threads or min([*machines, DEFAULT_THREADS])
        actors = sum(count // threads for count in machines)
        if not actors:
            largest = max(machines, default=0)
            raise UsageError(f"--threads {threads}: no machine there has more than {largest} cores")
        return threads, actors

    def _members(self) -> dict[str, bytes]:
        return {
            MANIFEST: self.bundle.manifest.to_json(),
            ENCODER: self.bundle.encoder,
            DECODER: self.bundle.decoder,
            TOKENIZER: self.bundle.tokenizer.to_json(),
        }


def _result(photo: Found, answer: dict[str, Any]) -> Result[Found | Unreachable]:
    from edgecap_runtime.pipeline import Caption

    ((kind, value),) = answer.items()
    if kind == CAPTION:
        return Result(photo, Caption(**{**value, "words": tuple(value["words"])}), None)
    if kind == REFUSED:
        raise ClusterError(value)
    if kind == ABSENT and photo.is_there():
        raise ClusterError(
            f"{value} does not see {photo.name}: give every machine the same folders under the "
            "same paths"
        )
    reason = f"{photo.name}: was removed before it was read" if kind == ABSENT else value
    return Result(photo, None, ImageError(reason))
