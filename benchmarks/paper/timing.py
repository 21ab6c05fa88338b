"""Times all systems in turns: round after round, each in a new process."""

import functools
import statistics
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecap import schema
from edgecap.errors import EdgecapError, EngineError
from edgecap.sizes import MemberSize, member_sizes
from edgecap_bench.conditions import Watch
from edgecap_bench.latency import Distribution
from edgecap_bench.report import Sizes
from edgecap_converter.progress import progress
from paper.captioners import STAGES
from paper.child import Answer, Request
from paper.processes import run_module
from paper.record import Agreement, Failed, Measured, Timing
from paper.systems import System

WORDS = 12
_PIECE = 1 << 20


@dataclass(frozen=True)
class Plan:
    """How much is timed; as `record.Timing` has it."""

    threads: int
    rounds: int
    warm_up: int


def measure(systems: Sequence[System], photos: Sequence[Path], plan: Plan) -> Timing:
    """Lets every system caption all photos, then all again, `plan.rounds` times.

    A system that fails takes no more turns, and the others go on.
    """
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="edgecap-paper-") as name:
        turns = [_Turns(system, photos, plan, Path(name)) for system in systems]
        with progress("timing", plan.rounds * len(turns), "turn") as advance:
            for _ in range(plan.rounds):
                for one in turns:
                    one.take()
                    advance(1, one.system.name)
        conditions = watch.conditions()
        results = tuple(one.result() for one in turns)
    return Timing(
        conditions=conditions,
        threads=plan.threads,
        words=WORDS,
        photos=len(photos),
        rounds=plan.rounds,
        warm_up=plan.warm_up,
        systems=results,
    )


class _Turns:
    """What one system did in its turns so far."""

    def __init__(self, system: System, photos: Sequence[Path], plan: Plan, scratch: Path) -> None:
        self.system = system
        self._scratch = scratch
        self._request = Request(
            files=tuple(map(str, system.files)),
            photos=tuple(map(str, photos)),
            words=WORDS,
            threads=plan.threads,
            warm_up=plan.warm_up,
            outputs=str(_outputs(scratch, system.name)),
        )
        self._answers: list[Answer] = []
        self._error: EdgecapError | None = None

    def take(self) -> None:
        """Runs the system once, unless it has failed."""
        if self._error is None:
            try:
                self._answers.append(self._run())
            except EdgecapError as error:
                self._error = error

    def result(self) -> Measured | Failed:
        """What came of all turns; the outputs of the system's reference must be there."""
        try:
            if self._error is not None:
                raise self._error
            return self._measured()
        except EdgecapError as error:
            return Failed(self.system.name, self.system.title, str(error))

    def _run(self) -> Answer:
        request, answer = self._scratch / "request.json", self._scratch / "answer.json"
        request.write_bytes(schema.canonical(schema.to_value(self._request)))
        reason = run_module("paper.child", request, answer)
        if reason is not None:
            raise EngineError(reason)
        found = schema.from_value(Answer, schema.parse(answer.read_bytes()))
        if self._answers and found.said != self._answers[0].said:
            raise EngineError("it said other words in another process: expected the same")
        return found

    def _measured(self) -> Measured:
        system, first = self.system, self._answers[0]
        return Measured(
            name=system.name,
            title=system.title,
            halves=system.halves,
            random_weights=system.random_weights,
            published=system.published,
            engine=first.engine,
            sizes=sizes(system.files),
            stages_ms={
                stage: Distribution.of([one.stages_ms[stage] for one in self._answers])
                for stage in STAGES
            },
            peak_memory_bytes=int(
                statistics.median(one.peak_memory_bytes for one in self._answers)
            ),
            agreement=self._agreement(),
            words=first.said[0],
        )

    def _agreement(self) -> Agreement | None:
        """Raises EngineError if the outputs are further apart than the system's bound."""
        system = self.system
        if system.reference is None:
            return None
        reference = _outputs(self._scratch, system.reference)
        if not reference.exists():
            raise EngineError(f"its outputs cannot be checked: {system.reference} gave none")
        apart = distances(_outputs(self._scratch, system.name), reference)
        if not max(apart) <= system.bound:
            raise EngineError(
                f"its features are {apart[0]:.3g} and its scores {apart[1]:.3g} of their length "
                f"away from those of {system.reference}: expected at most {system.bound:g}"
            )
        return Agreement(system.reference, *apart, system.bound)


def distances(path: Path, reference: Path) -> tuple[float, float]:
    """|a - b| / |b| of features and of scores, for two files of `child`."""

    def of(name: str) -> float:
        with np.load(path) as ours, np.load(reference) as true:
            return float(np.linalg.norm(ours[name] - true[name]) / np.linalg.norm(true[name]))

    return of("features"), of("scores")


def _outputs(scratch: Path, system: str) -> Path:
    return scratch / f"{system}.npz"


def sizes(files: Sequence[Path]) -> Sizes:
    """Of all files that a system runs from; BundleError, EngineError if one cannot be read."""
    if len(files) == 1:
        return Sizes.of(member_sizes(files[0]))
    return Sizes.of(tuple(_file_size(path) for path in files))


@functools.cache
def _file_size(path: Path) -> MemberSize:
    """As `edgecap.sizes` measures members, in pieces: a VGG16 has half a gigabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    total = deflated = 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                total += len(piece)
                deflated += len(packer.compress(piece))
    except OSError as error:
        raise EngineError(f"{path} cannot be read ({error.strerror}): make it again") from error
    return MemberSize(path.name, total, deflated + len(packer.flush()))
