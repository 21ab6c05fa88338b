"""Measures bundles in turns: what slows the machine down for a while slows all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgecap.errors import EdgecapError
from edgecap.sizes import member_sizes
from edgecap_bench.latency import TOTAL, Distribution, different_words
from edgecap_bench.processes import cold_start, measured
from edgecap_bench.report import Bulk, Failed, Measured, Memory, Plan, Sizes, Work
from edgecap_bench.worker import Answer, Request


@dataclass(frozen=True)
class Subject:
    """A bundle on an engine with so many threads; None for as many as it takes by itself."""

    path: str
    backend: str
    threads: int | None

    def options(self) -> tuple[str, ...]:
        """What makes `edgecap caption` use it."""
        threads = () if self.threads is None else ("--threads", str(self.threads))
        return ("--bundle", self.path, "--backend", self.backend, *threads)


def measure(
    subjects: Sequence[Subject], photo: str, plan: Plan, advance: Callable[[str], None]
) -> list[Measured | Failed]:
    """Lets all subjects take turns, forwards and backwards alternately.

    Args:
        subjects: what to measure.
        photo: the path of an image file.
        plan: how much.
        advance: told before each turn what comes.

    Returns:
        For each subject what was measured, or why there is nothing: it then took no more turns.
    """
    turns = [_Turns(subject, photo, plan) for subject in subjects]
    for number in range(plan.rounds):
        for one in turns if number % 2 == 0 else reversed(turns):
            advance(f"round {number + 1} of {plan.rounds}: {one.subject.path}")
            one.take()
    return [one.result() for one in turns]


class _Turns:
    """What one subject did so far."""

    def __init__(self, subject: Subject, photo: str, plan: Plan) -> None:
        self.subject = subject
        self._photo, self._plan = photo, plan
        self._answers: list[Answer] = []
        self._cold_starts: list[float] = []
        self._error: EdgecapError | None = None

    def take(self) -> None:
        """One cold start and one worker, unless it has failed."""
        if self._error is None:
            try:
                self._take()
            except EdgecapError as error:
                self._error = error

    def _take(self) -> None:
        if not self._answers:  # the system reads files into memory once; that is not timed
            cold_start(self._photo, self.subject.options())
        caption, milliseconds = cold_start(self._photo, self.subject.options())
        answer = measured(self._request())
        for said in (caption, answer.latency.caption):
            first = self._answers[0].latency.caption if self._answers else caption
            if said != first:
                raise different_words(first, said)
        self._cold_starts.append(milliseconds)
        self._answers.append(answer)

    def _request(self) -> Request:
        subject, plan = self.subject, self._plan
        return Request(
            subject.path, subject.threads, subject.backend, self._photo, plan.warm_up, plan.runs
        )

    def result(self) -> Measured | Failed:
        """What came of all turns."""
        try:
            if self._error is not None:
                raise self._error
            return self._measured(Sizes.of(member_sizes(self.subject.path)))
        except EdgecapError as error:
            return failed(self.subject.path, error)

    def _measured(self, sizes: Sizes) -> Measured:
        first, answers = self._answers[0], self._answers
        times = {
            stage: [time for one in answers for time in one.latency.times_ms[stage]]
            for stage in first.latency.times_ms
        }
        stages = {stage: Distribution.of(values) for stage, values in times.items()}
        rates = [one.captions_per_second for one in answers]
        return Measured(
            path=self.subject.path,
            name=first.name,
            commit=first.commit,
            setup=first.setup,
            sizes=sizes,
            caption=first.latency.caption,
            steps=first.latency.steps,
            cold_start_ms=Distribution.of(self._cold_starts),
            load_ms=Distribution.of([one.load_ms for one in answers]),
            stages_ms=stages,
            totals_ms=tuple(round(time, 4) for time in times[TOTAL]),
            bulk=Bulk(
                first.bulk_photos,
                *(round(of(rates), 3) for of in (statistics.median, min, max)),
            ),
            memory=Memory(
                _median([one.resident_bytes for one in answers]),
                _median([one.peak_bytes for one in answers]),
            ),
            work={
                stage: Work(count, round(1_000 * count / stages[stage].median))
                for stage, count in first.multiply_accumulates.items()
            },
        )


def _median(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known)) if known else None


def failed(path: str, error: EdgecapError) -> Failed:
    """Why the bundle at `path` was not measured; the path is said once."""
    complaint = str(error)
    return Failed(path, complaint if path in complaint else f"{path}: {complaint}")
