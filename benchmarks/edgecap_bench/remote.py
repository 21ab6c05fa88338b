"""`edgecap bench` on another machine, over the system's own ssh.

One connection does it all, so a password is asked for once: the bundles go in through it, as a tar
archive, and the JSON comes out.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shlex
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgecap.errors import EdgecapError, UsageError
from edgecap_bench.report import Failed, Measured, Report, from_json

if TYPE_CHECKING:
    from edgecap_bench.session import Order

# ssh's own status when there is no connection, the shell's when there is no command.
_NO_CONNECTION, _NO_COMMAND = 255, 127
_PHOTO = "photo"
# Where the README and pipx put edgecap, which a shell without login does not look into.
_SCRIPT = """
PATH="$PATH:$HOME/edgecap/bin:$HOME/.local/bin"
command -v edgecap >/dev/null || exit 127
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
cd "$folder" && tar -xf - || exit 1
edgecap {arguments}
exit $?
"""


def carry_out(host: str, order: Order) -> Report:
    """Measures what is ordered on `host`, as ssh takes it, such as "pi@raspberrypi".

    Whatever happens nothing is left behind there, unless the machine itself goes down.

    Raises:
        UsageError: if `host` is no name of a host, or quality is ordered too.
        EdgecapError: if there is no connection, it is lost, there is no edgecap, or it fails.
    """
    if not host or host.startswith("-"):
        raise UsageError(f"--host {host}: expected a host as ssh takes it, such as pi@raspberrypi")
    if order.dataset is not None:
        raise UsageError("--host measures no quality: measure it here, without --host")
    there = {_there(index, path): path for index, path in enumerate(order.bundles)}
    archive = _archive(there, order.photo)
    script = _SCRIPT.format(arguments=shlex.join(_arguments(order, list(there))))
    try:
        done = subprocess.run(
            ["ssh", "-T", "--", host, f"exec sh -c {shlex.quote(script)}"],
            input=archive,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise EdgecapError(
            f"--host needs the program ssh, which cannot be run ({error.strerror}): install it, "
            "on Debian with  sudo apt install openssh-client"
        ) from error
    return _localized(_report(host, done), there, order.photo)


def _there(index: int, path: str) -> str:
    """What a bundle is called on the host."""
    return f"{index}/{Path(path).resolve().name}"


def _arguments(order: Order, bundles: list[str]) -> list[str]:
    plan = order.plan
    arguments = ["bench", "--json", "-", f"--rounds={plan.rounds}", f"--runs={plan.runs}"]
    arguments += [f"--warm-up={plan.warm_up}", f"--backend={','.join(order.backends)}"]
    if order.threads != (None,):
        arguments.append(f"--threads={','.join(map(str, order.threads))}")
    if order.photo is not None:
        arguments.append(f"--photo={_PHOTO}")
    return [*arguments, "--", *bundles]


def _archive(there: dict[str, str], photo: str | None) -> bytes:
    """All bundles that are there, and the photo; what is missing, the host complains of."""
    content = io.BytesIO()
    sent = {**there, **({} if photo is None else {_PHOTO: photo})}
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, path in sent.items():
            if Path(path).exists():
                try:
                    archive.add(os.path.realpath(path), name, filter=_nobodys)
                except OSError as error:
                    raise EdgecapError(f"{path}: cannot be read ({error.strerror})") from error
    return content.getvalue()


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _report(host: str, done: subprocess.CompletedProcess[bytes]) -> Report:
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    said = " ".join(lines[-1].removeprefix("edgecap: ").split()) if lines else "it said nothing"
    if done.returncode == _NO_CONNECTION:
        raise EdgecapError(
            f"{host}: no connection, or it was lost ({said}): check it with  "
            f"ssh {shlex.quote(host)}"
        )
    if done.returncode == _NO_COMMAND:
        raise EdgecapError(
            f"{host}: has no edgecap in its path, ~/edgecap/bin or ~/.local/bin: install it there "
            "as README.md says"
        )
    if not done.stdout:
        raise EdgecapError(f"{host}: edgecap bench failed there, status {done.returncode} ({said})")
    return from_json(done.stdout, host)


def _localized(report: Report, there: dict[str, str], photo: str | None) -> Report:
    """The report with the paths that bundles and photo have here."""

    def local(one: Measured | Failed) -> Measured | Failed:
        path = there.get(one.path, one.path)
        if isinstance(one, Failed):
            return Failed(path, one.error.replace(one.path, path))
        return dataclasses.replace(one, path=path)

    return dataclasses.replace(
        report,
        photo=dataclasses.replace(report.photo, path=photo),
        bundles=tuple(map(local, report.bundles)),
    )
