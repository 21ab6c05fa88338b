"""Processes of edgecap's own: what they find, say and cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from edgecap import schema
from edgecap.errors import EdgecapError, EngineError
from edgecap_bench.worker import Answer, Refusal, Request

# As the installed command does it.
_COMMAND = "import sys; from edgecap.cli import main; sys.exit(main())"
_LONGEST_REASON = 300


def measured(request: Request) -> Answer:
    """One worker's answer.

    Raises:
        EdgecapError: what went wrong in it.
    """
    done = subprocess.run(
        [sys.executable, "-m", "edgecap_bench.worker"],
        input=schema.canonical(schema.to_value(request)),
        env=_environment(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise EngineError(_reason(done.returncode, done.stderr))
    value = json.loads(done.stdout)
    if "error" in value:
        raise EdgecapError(schema.from_value(Refusal, value).error)
    return schema.from_value(Answer, value)


def cold_start(photo: str, options: Sequence[str]) -> tuple[str, float]:
    """What `edgecap caption PHOTO` says, and the milliseconds until it has.

    Raises:
        EngineError: if it fails.
    """
    begin = time.perf_counter()
    with _start("caption", photo, *options) as process:
        assert process.stdout is not None
        caption = process.stdout.readline()
        milliseconds = 1_000 * (time.perf_counter() - begin)
        _, complaint = process.communicate()
    if process.returncode != 0:
        raise EngineError(_reason(process.returncode, complaint))
    return caption.decode(errors="replace").rstrip("\n"), milliseconds


def captions(
    photos: Sequence[str], options: Sequence[str], advance: Callable[[int], None]
) -> list[str]:
    """What `edgecap caption --json` says of photos; `advance` is told how many are done.

    Raises:
        EngineError: if it fails, or a photo does.
    """
    said = []
    with tempfile.NamedTemporaryFile("w", prefix="edgecap-", suffix=".txt") as listed:
        listed.write("".join(f"{photo}\n" for photo in photos))
        listed.flush()
        with _start("caption", "--json", "--from", listed.name, *options) as process:
            assert process.stdout is not None
            for line in process.stdout:
                value = json.loads(line)
                if "error" in value:
                    process.kill()
                    raise EngineError(str(value["error"]))
                said.append(str(value["caption"]))
                advance(len(said))
            _, complaint = process.communicate()
    if process.returncode != 0:
        raise EngineError(_reason(process.returncode, complaint))
    return said


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *arguments],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _environment() -> dict[str, str]:
    """Packages are found where this process finds them, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _reason(status: int, complaint: bytes) -> str:
    if status < 0:  # it may have no time to say anything, as when memory runs out
        return f"ended by signal {-status}: free some memory, or leave this bundle out"
    lines = [line for line in complaint.decode(errors="replace").splitlines() if line.strip()]
    last = lines[-1].strip() if lines else f"exit status {status}"
    return last.removeprefix("edgecap: ")[:_LONGEST_REASON]
