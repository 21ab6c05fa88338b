"""The command line: finds the command, and turns whatever goes wrong into one line.

Product on standard output, everything else on standard error. Exit 0 done, 1 something failed,
2 wrong usage or a missing extra; 130 interrupted, 141 nobody reads the output any more.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence

import click

import edgecap
from edgecap.errors import DEBUG, EdgecapError

# Name -> summary; each is `command` in the module of its name in `edgecap.commands`, imported
# when it is called: no command waits for what another needs.
COMMANDS = {
    "caption": "Say in a sentence what a photo shows.",
    "inspect": "Show what is in a bundle, and whether it is sound.",
    "bench": "Measure how fast and how large bundles are.",
    "doctor": "Show what this machine has, and whether edgecap runs on it.",
    "convert": "Train, compress and export a bundle.",
}
INTERRUPTED, OUTPUT_CLOSED = 130, 141

# A file may be named, or a bundle say, what would command the terminal.
_VISIBLE = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}


class Commands(click.Group):
    """The commands of `COMMANDS`, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"edgecap.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(edgecap.__version__, message="%(prog)s %(version)s")
def edgecap_command() -> None:
    """Image captioning on small devices.

    \b
    Example:  edgecap caption photo.jpg
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; by default those of the process.

    Returns:
        The exit status.
    """
    _take_any_name()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        # Not click's own `main`, which has other ideas of exit statuses.
        with edgecap_command.make_context("edgecap", given) as context:
            edgecap_command.invoke(context)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "edgecap"
        return _complain(f"{error.format_message()} See  {where} --help", error.exit_code)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except EdgecapError as error:
        return _complain(str(error), error.exit_code)
    except BrokenPipeError:
        _discard_output()
        return OUTPUT_CLOSED
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except MemoryError:
        return _complain("not enough memory: end other programs, or use a smaller bundle", 1)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        return _complain(
            f"unexpected {type(error).__name__} ({error}): this is a fault of edgecap; please "
            f"report it with what the same command shows after  {DEBUG}=1",
            1,
        )
    return 0


def print_line(text: str) -> None:
    """Prints a line of the product, at once; control characters as escapes, but tab and newline.

    Raises:
        EdgecapError: if there is no room for it.
        BrokenPipeError: if nobody reads it any more.
    """
    try:
        print(text.translate(_VISIBLE), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_output()
        raise EdgecapError(f"cannot write to standard output ({error.strerror})") from error


def print_error(message: str) -> None:
    """Prints a complaint as one line on standard error, if anybody is there to read it."""
    print_note(f"edgecap: {message}")


def print_note(message: str) -> None:
    """Prints a line on standard error, if anybody is there to read it."""
    with contextlib.suppress(OSError):
        click.echo(" ".join(message.split()).translate(_VISIBLE), err=True)


def _complain(message: str, status: int) -> int:
    print_error(message)
    return status


def _discard_output() -> None:
    # Python writes once more what is left when it ends, and would complain.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _take_any_name() -> None:
    """Lets standard output print names of files whatever their bytes or letters."""

    def as_they_are(error: UnicodeError) -> tuple[str | bytes, int]:
        try:
            return codecs.lookup_error("surrogateescape")(error)
        except UnicodeError:
            return codecs.lookup_error("backslashreplace")(error)

    codecs.register_error("edgecap", as_they_are)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="edgecap")
