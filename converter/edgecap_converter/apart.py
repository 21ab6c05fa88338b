"""A function in a process of its own: what it leaks, breaks or kills ends with that process."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

from edgecap.errors import DEBUG, ConversionError, EdgecapError

# How long a child may take to clear up, and to leave.
PATIENCE_SECONDS = 60
# By SIGKILL, which not every system knows by name.
_KILLED = -9

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


def run_apart(
    function: Callable[Parameters, Value], *arguments: Parameters.args, **named: Parameters.kwargs
) -> Value:
    """Calls a function of a module in a new process, which ends with this one if not before.

    Function, arguments and value must be picklable. What it prints goes to standard error.

    Raises:
        ConversionError: with the one line of whatever the function raised, or of what ended its
            process.
    """
    context = multiprocessing.get_context("spawn")
    answers, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, function, arguments, named), daemon=True)
    try:
        try:
            with _interrupts_later():
                child.start()
        finally:
            theirs.close()
        done, value = answers.recv()
    except EOFError:
        child.join()
        raise ConversionError(_end(child.exitcode)) from None
    except OSError as error:
        raise ConversionError(f"no process can be started ({error.strerror})") from error
    except BaseException:
        _leave(child, at_once=True)
        raise
    finally:
        answers.close()
        _leave(child)
    if not done:
        raise ConversionError(value)
    result: Value = value
    return result


def _leave(child: BaseProcess, at_once: bool = False) -> None:
    """Waits for a process, if it was started, to clear up and leave; not for ever."""
    if child.pid is None:
        return
    if at_once:
        child.terminate()
    child.join(PATIENCE_SECONDS)
    child.kill()
    child.join()


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Ctrl-C waits; in a process started inside until `_hear_interrupts`, not amid its imports."""
    if sys.platform == "win32":
        yield
        return
    # It is started with the first process, and would end the waiting.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _hear_interrupts() -> None:
    # The terminal's reach this process too, and the parent's come on top.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end(status: int | None) -> str:
    if status == _KILLED:
        return (
            "its process was killed, as the system does where memory runs out: end other programs, "
            "or choose smaller networks"
        )
    return f"its process ended unasked (exit status {status}): run it again, or report it"


def _child(
    answers: Connection,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    named: dict[str, Any],
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Frameworks speak on standard output, which is for the product.
    os.dup2(2, 1)
    try:
        _hear_interrupts()
        answer = True, function(*arguments, **named)
    except KeyboardInterrupt:
        return
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        answer = False, _in_a_line(error)
    answers.send(answer)


def _in_a_line(error: Exception) -> str:
    if isinstance(error, EdgecapError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "not enough memory: end other programs, or choose smaller networks"
    if isinstance(error, OSError):
        reason = error.strerror or error
        return f"{error.filename or 'a file'}: {reason}: free space, or check its rights"
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__} ({text[:300]}); {DEBUG}=1 shows where"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    # Another run may go on where this one was: nothing more may be written.
    os._exit(1)
