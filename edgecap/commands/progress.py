"""How far a long run is, on standard error."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable

import click

# On a terminal a line is renewed in its place; a log gets one now and then.
_TERMINAL_SECONDS, _LOG_SECONDS = 0.2, 30.0


class Progress:
    """Counts photos that are done, and says how long the others will take.

    Args:
        count: how many there are in all; called once, when the first is done, in a thread of its
            own, as it may take long.
    """

    def __init__(self, count: Callable[[], int | None]) -> None:
        self._count = count
        self._total: int | None = None
        self._done = 0
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._begin = self._shown = 0.0

    def advance(self) -> None:
        """One more is done."""
        now = time.monotonic()
        self._done += 1
        if self._done == 1:  # it waited for the model, the others will not
            self._begin = self._shown = now
            threading.Thread(target=self._find_total, daemon=True).start()
        elif now - self._shown >= (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS):
            self._shown = now
            rate = (self._done - 1) / (now - self._begin)
            self._show(progress_line(self._done, self._total, rate))

    def clear(self) -> None:
        """Makes room on a terminal for another line."""
        if self._terminal:
            self._show("")

    def _find_total(self) -> None:
        self._total = self._count()

    def _show(self, line: str) -> None:
        with contextlib.suppress(OSError):
            if self._terminal:  # over what stands there, and nothing of that is left
                click.echo(f"\r{line}\x1b[K", err=True, nl=False)
            else:
                click.echo(line, err=True)


def progress_line(done: int, total: int | None, rate: float) -> str:
    """Such as "120 of 1,000 photos, 4.0 a second, 4 min left".

    Args:
        done: how many were done.
        total: out of how many, if that is known yet.
        rate: how many a second, more than none.
    """
    if total is None:
        return f"{done:,} photos, {rate:.1f} a second"
    left = duration((total - done) / rate)
    return f"{done:,} of {total:,} photos, {rate:.1f} a second, {left} left"


def duration(seconds: float) -> str:
    """Such as "40 s", "12 min" or "3 h 5 min"."""
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
