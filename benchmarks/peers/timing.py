"""Times all systems in turns: round after round, each in a new process of its environment."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edgecap import schema
from edgecap.errors import EdgecapError, EngineError
from edgecap_bench.conditions import Watch
from edgecap_bench.latency import Distribution
from edgecap_converter.progress import progress
from paper.record import Agreement, Failed
from paper.timing import WORDS, Plan, distances, sizes
from peers.child import Answer, Request
from peers.environments import PYTHON
from peers.record import Measured, Timing
from peers.systems import BOUND, OURS, SAME_CAPTIONS, System


def measure(systems: Sequence[System], photos: Sequence[Path], plan: Plan) -> Timing:
    """Lets every system caption all photos, then all again, `plan.rounds` times.

    A rehearsal comes first, in which each captions one photo: it fills caches of files and of
    compiled modules, and does not count. A system that fails takes no more turns, and the others
    go on.
    """
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="edgecap-peers-") as name:
        turns = [_Turns(system, photos, plan, Path(name)) for system in systems]
        with progress("timing", (plan.rounds + 1) * len(turns), "turn") as advance:
            for number in range(plan.rounds + 1):
                for one in turns:
                    one.take(rehearsal=number == 0)
                    advance(1, one.name)
        conditions = watch.conditions()
        ours = next((one for one in turns if one.name == OURS and not one.failed), None)
        # A gigabyte of weights takes a minute to deflate.
        with progress("sizes", len(turns), "system") as advance:
            results = []
            for one in turns:
                results.append(one.result(ours))
                advance(1, one.name)
    return Timing(
        conditions=conditions,
        python=PYTHON,
        threads=plan.threads,
        words=WORDS,
        photos=len(photos),
        rounds=plan.rounds,
        warm_up=plan.warm_up,
        systems=tuple(results),
    )


class _Turns:
    """What one system did in its turns so far."""

    def __init__(self, system: System, photos: Sequence[Path], plan: Plan, scratch: Path) -> None:
        self.name = system.peer.name
        self.said: tuple[tuple[str, ...], ...] = ()
        self.outputs = scratch / f"{self.name}.npz"
        self._system = system
        self._photos = tuple(map(str, photos))
        self._plan = plan
        self._scratch = scratch
        self._answers: list[Answer] = []
        self._error: EdgecapError | None = None

    @property
    def failed(self) -> bool:
        """Whether it takes no more turns."""
        return self._error is not None

    def take(self, rehearsal: bool) -> None:
        """Runs the system once, unless it has failed."""
        if self._error is not None:
            return
        try:
            found = self._run(rehearsal)
            # The rehearsal has only the first photo.
            if any(a != b for a, b in zip(self.said, found.said, strict=False)):
                raise EngineError("it said other words in another process: expected the same")
            self.said = found.said
            if not rehearsal:
                self._answers.append(found)
        except EdgecapError as error:
            self._error = error

    def _run(self, rehearsal: bool) -> Answer:
        peer = self._system.peer
        wanted = Request(
            kind=peer.kind,
            files=tuple(map(str, self._system.files)),
            photos=self._photos[:1] if rehearsal else self._photos,
            words=WORDS,
            threads=self._plan.threads,
            warm_up=0 if rehearsal else self._plan.warm_up,
            outputs=str(self.outputs) if rehearsal and peer.is_same_model else "",
        )
        request, answer = self._scratch / "request.json", self._scratch / "answer.json"
        request.write_bytes(schema.canonical(schema.to_value(wanted)))
        reason = self._system.environment.run("peers.child", request, answer, time.time())
        if reason is not None:
            raise EngineError(reason)
        return schema.from_value(Answer, schema.parse(answer.read_bytes()))

    def result(self, ours: "_Turns | None") -> Measured | Failed:
        """What came of all turns; `ours` are those of edgecap, None if it failed."""
        peer = self._system.peer
        try:
            if self._error is not None:
                raise self._error
            return self._measured(ours if peer.is_same_model and ours is not self else None)
        except EdgecapError as error:
            return Failed(peer.name, peer.title, str(error))

    def _measured(self, ours: "_Turns | None") -> Measured:
        peer, answers = self._system.peer, self._answers
        return Measured(
            name=peer.name,
            title=peer.title,
            environment=peer.environment,
            engine=answers[0].engine,
            random_weights=peer.random_weights,
            parameters=peer.parameters,
            sizes=sizes(self._system.files),
            installed_bytes=self._system.environment.installed_bytes,
            photo_ms=Distribution.of([one.photo_ms for one in answers]),
            cold_start_ms=Distribution.of([one.cold_start_ms for one in answers]),
            peak_memory_bytes=int(statistics.median(one.peak_memory_bytes for one in answers)),
            agreement=self._agreement(ours) if ours else None,
            same_captions=self._same_captions(ours) if ours else None,
            words=self.said[0],
        )

    def _same_captions(self, ours: "_Turns") -> int:
        """Raises EngineError if they are fewer than `SAME_CAPTIONS`."""
        same, photos = sum(map(tuple.__eq__, self.said, ours.said)), len(self.said)
        if same < SAME_CAPTIONS * photos:
            raise EngineError(
                f"{same} of {photos} captions have the words of {ours.name}: expected "
                f"{100 * SAME_CAPTIONS:g} % or more"
            )
        return same

    def _agreement(self, ours: "_Turns") -> Agreement:
        """Raises EngineError if the outputs are further apart than `BOUND`."""
        apart = distances(self.outputs, ours.outputs)
        if not max(apart) <= BOUND:
            raise EngineError(
                f"its features are {apart[0]:.3g} and its scores {apart[1]:.3g} of their length "
                f"away from those of {ours.name}: expected at most {BOUND:g}"
            )
        return Agreement(ours.name, *apart, BOUND)
