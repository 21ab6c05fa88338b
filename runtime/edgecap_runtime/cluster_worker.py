"""What each machine of a cluster runs: a captioner, or the reason why there is none.

The class travels by value, and imports edgecap only when it has found the same version: so it can
say what a machine lacks.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecap_runtime.captioner import Result
    from edgecap_runtime.found import Found

# The keys of an answer: a caption's values; why there is none; the machine that does not see the
# photo; why a machine captions nothing.
CAPTION, ERROR, ABSENT, REFUSED = "caption", "error", "absent", "refused"


class Worker:
    """An actor for Ray Data's `map_batches`: photos -> answers.

    Args:
        version: of edgecap; another is refused.
        members: content of the bundle's files by name, `dict[str, bytes]` in Ray's object store.
        sha256: of the bundle.
        threads: photos at a time.
        backend: as for `Captioner.load`.
        search: arguments of `Captioner.caption_many`.
        folder: where relative paths begin, if it is there.
    """

    def __init__(
        self,
        version: str,
        members: Any,
        sha256: str,
        threads: int,
        backend: str,
        search: dict[str, Any],
        folder: str,
    ) -> None:
        with contextlib.suppress(OSError):
            os.chdir(folder)
        # One stream as long as the actor lives: each has graphs of its own, which take long.
        self._photos: SimpleQueue[Found] = SimpleQueue()
        self._results: Iterator[Result[Found]] = iter(())
        self._refusal = self._start(version, members, sha256, threads, backend, search)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of photos.

        Args:
            batch: columns "photo", int64, any number; "name", the path in bytes; "size" and
                "mtime_ns", int64, as in `Found`.

        Returns:
            Columns "photo", as given, and "answer", in JSON.
        """
        if self._refusal is not None:
            answers = [{REFUSED: self._refusal}] * len(batch["photo"])
        else:
            from edgecap_runtime.stored import as_found

            rows = zip(batch["name"], batch["size"], batch["mtime_ns"], strict=True)
            for name, size, mtime_ns in rows:
                self._photos.put(as_found(os.fsdecode(name), int(size), int(mtime_ns)))
            answers = [_answer(next(self._results)) for _ in batch["photo"]]
        return {"photo": batch["photo"], "answer": [json.dumps(answer) for answer in answers]}

    def _start(
        self,
        version: str,
        members: Any,
        sha256: str,
        threads: int,
        backend: str,
        search: dict[str, Any],
    ) -> str | None:
        """Why this machine cannot caption; None if it can."""
        machine = socket.gethostname()
        install = f"install edgecap {version} on every machine"
        try:
            import edgecap
        except ImportError:
            return f"{machine} has no edgecap: {install}"
        if edgecap.__version__ != version:
            return f"{machine} has edgecap {edgecap.__version__}, this one {version}: {install}"

        from pathlib import Path

        import ray

        from edgecap.errors import EdgecapError
        from edgecap.storage import write_folder
        from edgecap_runtime.captioner import Captioner

        try:
            with tempfile.TemporaryDirectory(prefix="edgecap-") as scratch:
                place = Path(scratch) / "shipped.edgecap"
                write_folder(place, ray.get(members))
                captioner = Captioner.load(place, threads=threads, backend=backend)
        except (EdgecapError, OSError) as error:
            return f"{machine} cannot caption: {error}"
        found = captioner.bundle.manifest.sha256
        if found != sha256:
            return f"{machine} was sent the bundle {found[:12]} instead of {sha256[:12]}"
        self._results = captioner.caption_many(iter(self._photos.get, None), **search)
        return None


def _answer(result: Result[Found]) -> dict[str, Any]:
    if result.caption is not None:
        return {CAPTION: result.caption.__dict__}
    if not result.source.is_there():
        return {ABSENT: socket.gethostname()}
    return {ERROR: str(result.error)}
