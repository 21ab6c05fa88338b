"""A captioner in a child process with limits: a graph that crashes or hangs costs one photo.

Messages both ways are a line of JSON; a photo's bytes, where it is not in a file, follow theirs.
The child is started at once, and again after each photo on which it ended or its engine failed.
Linux only: elsewhere the limits do not exist or do not hold.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from edgecap import errors
from edgecap.bundle import Bundle
from edgecap.errors import DEBUG, BundleError, EdgecapError, EngineError, UsageError
from edgecap_runtime.captioner import Captioner, Result, Source, default_bundle
from edgecap_runtime.options import ISOLATED_MEMORY, ISOLATED_SECONDS

if TYPE_CHECKING:
    from edgecap_runtime.pipeline import Caption, Image

# The child finds the packages where this process does, and nothing in the folder it starts in.
_CHILD = (
    "import sys; sys.path[:] = sys.argv[1:]; from edgecap_runtime.isolated import serve; serve()"
)


class _Died(Exception):
    """What became of the child, in words."""


class IsolatedCaptioner:
    """As `Captioner`, one photo at a time; photos are paths or have a `read`.

    Args:
        path, threads, backend: as `Captioner.load` takes them.
        seconds: that a photo, or loading the bundle, may take.
        memory: bytes that the child may have beside what it takes to start.

    Raises:
        UsageError: on other systems than Linux, and as `Captioner.load`.
        BundleError, EngineError: as `Captioner.load`; if loading the graphs ends the child, too.
    """

    bundle: Bundle
    _settings: dict[str, Any]
    _seconds: float
    _child: _Child | None

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        backend: str = "auto",
        seconds: float = ISOLATED_SECONDS,
        memory: int = ISOLATED_MEMORY,
    ) -> None:
        if sys.platform != "linux":
            raise UsageError("--isolate needs Linux: leave it out, and trust the bundle, or do not")
        place = os.fspath(default_bundle() if path is None else path)
        self.bundle = Bundle.open(place)
        self._settings = {
            "load": {"path": place, "threads": threads, "backend": backend},
            "memory": memory,
            "seconds": seconds,
        }
        self._seconds = seconds
        self._child = None
        self._running()

    def caption(self, image: Image, *, beam: int = 1, maximum_words: int | None = None) -> Caption:
        """As `Captioner.caption`; raises EngineError too if the photo ended the child."""
        from edgecap_runtime.pipeline import Caption

        request: dict[str, Any] = {"beam": beam, "maximum_words": maximum_words}
        content = b""
        if hasattr(image, "read"):
            from edgecap.photo_file import MAXIMUM_FILE_BYTES

            content = bytes(image.read(MAXIMUM_FILE_BYTES + 1))
            request |= {"name": str(getattr(image, "name", "photo")), "bytes": len(content)}
        else:
            request["name"] = os.fspath(image)  # type: ignore[arg-type]
        child = self._running()
        try:
            answer = child.ask(request, content, self._seconds)
        except _Died as death:
            self.close()
            raise EngineError(f"the engine {death} on this photo: distrust the bundle") from None
        except BaseException:
            # Whose answer would come next nobody could say.
            self.close()
            raise
        try:
            value = _value(answer)
        except (EngineError, BundleError):
            # An engine that failed may keep what it took, and fail on the next photo for that.
            self.close()
            raise
        return Caption(**{**value, "words": tuple(value["words"])})

    def caption_many(
        self, images: Iterable[Source], *, beam: int = 1, maximum_words: int | None = None
    ) -> Iterator[Result[Source]]:
        """As `Captioner.caption_many`, one photo after the other."""
        for image in images:
            try:
                said = self.caption(image, beam=beam, maximum_words=maximum_words)
            except EdgecapError as error:
                yield Result(image, None, error)
            else:
                yield Result(image, said, None)

    def close(self) -> None:
        """Ends the child; the next photo starts another."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _running(self) -> _Child:
        if self._child is None:
            self._child = _Child()
            try:
                _value(self._child.ask(self._settings, b"", self._seconds))
            except _Died as death:
                self.close()
                raise EngineError(
                    f"the engine {death} while it loaded {self.bundle.path}: distrust the bundle"
                ) from None
            except BaseException:
                self.close()
                raise
        return self._child


class _Child:
    """The process, and what is said to it."""

    def __init__(self) -> None:
        said = None if os.environ.get(DEBUG) else subprocess.DEVNULL
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for the parent, whose end is the child's
        )

    def ask(self, request: dict[str, Any], content: bytes, seconds: float) -> dict[str, Any]:
        """The answer to a request, which must come in time.

        Raises:
            _Died: if the child did, or was made to.
        """
        deadline = time.monotonic() + seconds
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        with contextlib.suppress(BrokenPipeError):  # then no answer comes either
            requests.write(json.dumps(request).encode() + b"\n" + content)
            requests.flush()
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(answers, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise _Died(f"took more than {seconds:g} s")
                if not (part := os.read(answers.fileno(), 65_536)):
                    raise _Died(_how(self._process.wait()))
                line += part
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Kills the process and waits for its end."""
        self._process.kill()
        # What was written and not read shall not be written again.
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


def _how(status: int) -> str:
    if sys.platform != "linux":
        raise NotImplementedError
    if status == -signal.SIGXCPU:
        return "took too much processor time"
    if status < 0:
        return f"crashed ({signal.Signals(-status).name})"
    return f"ended with status {status}"


def _value(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        known = vars(errors).get(answer["error"])
        kind = known if isinstance(known, type) and issubclass(known, EdgecapError) else EngineError
        raise kind(answer["message"])
    return answer["value"]


class _Sent(NamedTuple):
    """A photo whose bytes came through the pipe."""

    name: str
    content: bytes

    def read(self, _maximum_bytes: int) -> bytes:
        return self.content


def serve() -> None:
    """What the child does: loads a bundle, then captions until nobody asks any more."""
    requests = sys.stdin.buffer
    # The engine may print; answers have a way of their own.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        settings = _request(requests)
        if settings is None:
            return
        _limit_memory(settings["memory"])
        captioner: Captioner | None = None
        request: dict[str, Any] | None = {}
        while request is not None:
            try:
                _limit_time(settings["seconds"] * (captioner.threads if captioner else 1))
                if captioner is None:
                    captioner, value = Captioner.load(**settings["load"]), None
                else:
                    value = _caption(captioner, request, requests)
                answer = {"value": value}
            except EdgecapError as error:
                answer = {"error": type(error).__name__, "message": str(error)}
            except MemoryError:
                answer = {"error": "EngineError", "message": "takes more memory than is allowed"}
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()
            if captioner is None:
                return
            request = _request(requests)


def _request(requests: IO[bytes]) -> dict[str, Any] | None:
    line = requests.readline()
    request: dict[str, Any] | None = json.loads(line) if line else None
    return request


def _caption(captioner: Captioner, request: dict[str, Any], requests: IO[bytes]) -> Any:
    name, size = request.pop("name"), request.pop("bytes", None)
    image = name if size is None else _Sent(name, requests.read(size))
    return vars(captioner.caption(image, **request))


def _limit_memory(memory: int) -> None:
    """Of addresses, beside those taken by now; and no file may be written, nor a core dumped."""
    if sys.platform != "linux":
        raise NotImplementedError
    import resource

    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        taken = int(file.read().split()[0]) * resource.getpagesize()
    for limit, value in (
        (resource.RLIMIT_AS, taken + memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def _limit_time(seconds: float) -> None:
    """Of the processor, from now on: where nobody is left to look at the clock."""
    if sys.platform != "linux":
        raise NotImplementedError
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    end = int(used.ru_utime + used.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(
        resource.RLIMIT_CPU, (end if hard == resource.RLIM_INFINITY else min(end, hard), hard)
    )
