"""Progress of long work on stderr; stdout is for the product."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(what: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
    """A bar with an estimate of the time left; yields `advance(count, note="")`.

    Where stderr is no terminal, a line every half minute instead.
    """
    from tqdm import tqdm

    interval = 0.2 if sys.stderr.isatty() else 30.0
    with tqdm(
        total=total, initial=done, desc=what, unit=unit, file=sys.stderr,
        mininterval=interval, maxinterval=max(interval, 10.0), dynamic_ncols=True,
    ) as bar:  # fmt: skip

        def advance(count: int, note: str = "") -> None:
            if note:
                bar.set_postfix_str(note, refresh=False)
            bar.update(count)

        yield advance


def say(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)
