"""One function per thread over a stream of items, results in the stream's order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# Items taken from the stream and not yet given back, for each worker: enough that a slow
# item does not make the other workers wait, few enough that memory stays flat.
LOOK_AHEAD = 4


def in_order(
    items: Iterable[Item], workers: Sequence[Callable[[Item], Outcome]]
) -> Iterator[Outcome]:
    """Yields each item's outcome, in order, as soon as it and those before it are there.

    Items are taken one at a time, in the workers' threads, at most `LOOK_AHEAD` for each worker
    ahead of what was yielded. So a stream that waits (a pipe) holds back no outcome that is
    ready. An exception from a worker or from the stream is raised here, in its place.

    Closing the generator waits for the items being worked on, but not for a stream that waits.
    """
    stream = iter(items)
    reading = threading.Lock()
    room = threading.Semaphore(LOOK_AHEAD * len(workers))
    places: SimpleQueue[Future[Outcome] | None] = SimpleQueue()
    stopped = False

    def run(work: Callable[[Item], Outcome]) -> None:
        nonlocal stopped
        while True:
            room.acquire()
            with reading:
                if stopped:
                    return
                place: Future[Outcome] = Future()
                try:
                    item = next(stream)
                except StopIteration:
                    stopped = True
                    places.put(None)
                    return
                except BaseException as error:
                    stopped = True
                    place.set_exception(error)
                    places.put(place)
                    return
                if stopped:
                    return
                places.put(place)
            try:
                place.set_result(work(item))
            except BaseException as error:
                place.set_exception(error)

    # Daemons: one that waits for a pipe must not keep the program from leaving.
    for work in workers:
        threading.Thread(target=run, args=(work,), daemon=True).start()
    try:
        while (place := places.get()) is not None:
            yield place.result()
            room.release()
    finally:
        stopped = True
        room.release(len(workers))
        # A daemon inside the engine when Python shuts down would crash the process.
        try:
            while (left := places.get_nowait()) is not None:
                left.exception()
        except Empty:
            pass
