"""The rows of a grid as tasks of Ray, on machines that share the folders of the request."""

import dataclasses
from collections import defaultdict, deque
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import edgecap
from edgecap.bundle import Bundle
from edgecap.clusters import cores, joined, one_line
from edgecap.errors import ClusterError, EdgecapError
from edgecap_converter.conversion import Conversion
from edgecap_converter.encoder_weights import RANDOM
from edgecap_converter.grid.making import Job, Make, Outcome, make_apart
from edgecap_converter.grid.result import Failed, Made
from edgecap_converter.progress import say


def on_cluster(
    address: str, jobs: Sequence[Job], make: Make
) -> Generator[tuple[int, Outcome], None, None]:
    """As `edgecap_converter.grid.making.in_turn`, with rows of different encoders at once.

    What two rows share, features and stages of a training, they share with their encoder: rows of
    one encoder follow each other, so that nothing is computed twice, and nobody waits for a file
    that another machine writes.

    Args:
        address: as for `edgecap.clusters.joined`.

    Raises:
        MissingExtraError, UsageError: as `edgecap.clusters.joined`.
        ClusterError: if no machine of the cluster computes.
    """
    if not jobs:
        return
    waiting: defaultdict[str, deque[Job]] = defaultdict(deque)
    for job in jobs:
        waiting[job.request.plan.encoder].append(job)
    with joined(address, "edgecap convert") as ray:
        machines = cores(ray)
        if not machines:
            raise ClusterError(f"--cluster {address}: none of its machines has a core to give")
        # All of a machine, as a row takes it: TensorFlow computes on every core.
        task = ray.remote(num_cpus=min(machines), scheduling_strategy="SPREAD")(_make)
        running: dict[Any, Job] = {}

        def start(encoder: str) -> None:
            if waiting[encoder]:
                job = waiting[encoder].popleft()
                say(job.label)
                running[task.remote(edgecap.__version__, _absolute(job.request), make)] = job

        for encoder in waiting:
            start(encoder)
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(done)
            yield job.index, _outcome(ray, done, job.request.output)
            start(job.request.plan.encoder)


def _make(version: str, request: Conversion, make: Make) -> Outcome:
    """Runs on a machine of the cluster."""
    if edgecap.__version__ != version:
        import socket

        return Failed(
            f"{socket.gethostname()} has edgecap {edgecap.__version__}: install {version} on every "
            "machine"
        )
    return make_apart(request, make)


def _outcome(ray: Any, task: Any, output: Path) -> Outcome:
    try:
        outcome: Outcome = ray.get(task)
    except ray.exceptions.RayError as error:
        return Failed(f"its machine failed: {one_line(error)}")
    if isinstance(outcome, Made) and not _is_here(output, outcome):
        return Failed(f"was made, but {output} is not shared: give all machines the same folders")
    return outcome


def _is_here(output: Path, made: Made) -> bool:
    try:
        return Bundle.open(output).manifest.sha256 == made.sha256
    except EdgecapError:
        return False


def _absolute(request: Conversion) -> Conversion:
    """With paths that do not depend on where a process runs."""
    weights, checkpoint = request.encoder_weights, request.checkpoint
    return dataclasses.replace(
        request,
        data=request.data.absolute(),
        output=request.output.absolute(),
        work=request.work.absolute(),
        encoder_weights=weights if weights in (None, RANDOM) else str(Path(weights).absolute()),
        checkpoint=None if checkpoint is None else checkpoint.absolute(),
    )
