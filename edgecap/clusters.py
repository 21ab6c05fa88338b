"""The way to a Ray cluster: joined, with nothing on the terminal, and left."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

from edgecap.errors import DEBUG, MissingExtraError, UsageError

LOCAL, AUTO = "local", "auto"
# Ray itself tries for minutes.
CONNECT_SECONDS = 5.0
# A cluster that Ray starts would report to Ray's makers.
_USAGE = "RAY_USAGE_STATS_ENABLED"


@contextlib.contextmanager
def joined(address: str, command: str) -> Iterator[Any]:
    """Ray, as one driver of a cluster; nothing of this driver stays there at the end.

    Args:
        address: "local" starts a cluster of this machine, which ends with this; "auto" is the
            cluster that this machine is part of; or "HOST:PORT" of a cluster's first machine.
        command: what needs Ray, for a complaint.

    Raises:
        MissingExtraError: if Ray is not installed.
        UsageError: if no Ray answers at the address, or this machine is not part of its cluster.
    """
    os.environ.setdefault(_USAGE, "0")
    require_ray(command)
    import ray

    place = _place(address)
    before = signal.getsignal(signal.SIGTERM)
    with _quiet():
        try:
            try:
                ray.init(
                    place,
                    logging_level="critical",
                    log_to_driver=False,
                    include_dashboard=False if place == LOCAL else None,
                )
            except (OSError, RuntimeError, ValueError) as error:
                raise _no_cluster(address, " ".join(str(error).split())) from error
            # Ray ends the process at SIGTERM; who called decides that.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)
            yield ray
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Only what Python code writes on standard error is seen.

    Ray writes what it thinks of other machines on standard output, which is for the product, and
    from C++ on standard error; it has no settings for that, and keeps logs of its own.
    """
    if os.environ.get(DEBUG):
        yield
        return
    python, ours = sys.stderr, os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with (
        open(ours, "w", buffering=1, errors="backslashreplace") as said,  # noqa: PTH123
        open(nowhere, "w") as unsaid,  # noqa: PTH123
        contextlib.redirect_stdout(unsaid),
    ):
        os.dup2(nowhere, 2)
        if _writes_to_2(python):
            sys.stderr = said
        try:
            yield
        finally:
            sys.stderr = python
            os.dup2(ours, 2)


def _writes_to_2(stream: Any) -> bool:
    """Whether it is standard error itself, and not what a program has put in its place."""
    try:
        return bool(stream.fileno() == 2)
    except (AttributeError, OSError, ValueError):
        return False


def require_ray(command: str) -> None:
    """Finds out at once whether Ray, which takes seconds to import, is there.

    Raises:
        MissingExtraError: if it is not.
    """
    for package in ("ray", "pyarrow", "fsspec"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(f"{command} --cluster", "cluster", package)


def cores(ray: Any) -> list[int]:
    """Of each machine of the cluster that computes, in no order."""
    counts = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return [count for count in counts if count > 0]


def one_line(error: BaseException) -> str:
    """What Ray says last of an error, which it gives with the stack of another machine."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _place(address: str) -> str:
    """The address for Ray, when somebody listens there."""
    if address == LOCAL:
        return LOCAL
    # Ray would try for minutes to reach an address that nobody is at.
    from ray._private.services import canonicalize_bootstrap_address

    try:
        place: str | None = None if "://" in address else canonicalize_bootstrap_address(address)
    except (OSError, ValueError) as error:
        raise _no_cluster(address, " ".join(str(error).split())) from error
    if place is None:
        if address == AUTO:
            raise _no_cluster(address, "no Ray runs on this machine")
        raise UsageError(f"--cluster {address}: expected {AUTO}, {LOCAL} or HOST:PORT")
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _no_cluster(
            address, f"{place}: {getattr(error, 'strerror', None) or error}"
        ) from error
    return place


def _no_cluster(address: str, reason: str) -> UsageError:
    return UsageError(
        f"--cluster {address}: no Ray cluster of which this machine is part ({reason[:200]}): "
        "start it with  ray start --head  and join it here with  ray start --address HOST:PORT"
    )
