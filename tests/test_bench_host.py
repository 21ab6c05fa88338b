"""`edgecap bench --host`, through the system's ssh to an sshd on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import command_environment

from edgecap.cli import main

QUICK = ("--rounds", "1", "--runs", "1", "--warm-up", "0", "--threads", "1")
USER = pwd.getpwuid(os.geteuid()).pw_name
HOST = f"{USER}@device"
# sshd gives up its rights to a user of this name when root starts it.
PRIVILEGES = Path("/run/sshd")


def _missing() -> str | None:
    path = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
    for program in ("ssh", "ssh-keygen", "sshd"):
        if shutil.which(program, path=path) is None:
            return f"{program} is not installed (Debian: openssh-client, openssh-server)"
    if os.geteuid() == 0 and "sshd" not in {one.pw_name for one in pwd.getpwall()}:
        return "root can start no sshd where there is no user sshd (Debian: openssh-server)"
    return None


pytestmark = pytest.mark.skipif(_missing() is not None, reason=str(_missing()))


class Device:
    """The machine at the other end: its home, what `edgecap` is there, its scratch space."""

    def __init__(self, folder: Path) -> None:
        self.home, self.programs, self.scratch = (
            folder / name for name in ("home", "programs", "scratch")
        )
        for place in (self.home, self.programs, self.scratch):
            place.mkdir()

    def install(self, script: str, folder: Path | None = None) -> None:
        """Makes `edgecap` a shell script there."""
        program = (folder or self.programs) / "edgecap"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


EDGECAP = f'exec "{sys.executable}" -m edgecap "$@"'


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """An sshd of our own, and an `ssh` that knows the way."""
    device = Device(tmp_path)
    if os.geteuid() == 0:
        PRIVILEGES.mkdir(mode=0o755, exist_ok=True)
    for key in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / key], check=True
        )
    (tmp_path / "authorized").write_text((tmp_path / "user.pub").read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "HOME": device.home,
        "PATH": f"{device.programs}:/usr/bin:/bin",
        "PYTHONPATH": command_environment()["PYTHONPATH"],
        "TMPDIR": device.scratch,
    }
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path}/authorized\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv {' '.join(f'{name}={value}' for name, value in environment.items())}\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"Host device\nHostName 127.0.0.1\nPort {port}\nIdentityFile {tmp_path}/user\n"
        f"IdentitiesOnly yes\nUserKnownHostsFile {tmp_path}/known\nStrictHostKeyChecking no\n"
        "BatchMode yes\nLogLevel ERROR\n"
    )
    ours = tmp_path / "ours" / "ssh"
    ours.parent.mkdir()
    ours.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"\n')
    ours.chmod(0o755)
    monkeypatch.setenv("PATH", str(ours.parent), prepend=os.pathsep)
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    assert sshd is not None
    with (tmp_path / "log").open("wb") as log:
        command = [sshd, "-D", "-e", "-f", tmp_path / "sshd_config"]
        server = subprocess.Popen(command, stderr=log, start_new_session=True)
    try:
        _wait(port, server, tmp_path / "log")
        yield device
    finally:
        server.terminate()
        server.wait()


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    pytest.fail(f"sshd does not answer: {log.read_text()}")


@pytest.mark.parametrize("place", [None, "edgecap/bin"])
def test_the_json_of_the_device_comes_back(
    place: str | None,
    device: Device,
    tiny: Path,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    device.install(EDGECAP, place and device.home / place)
    result = tmp_path / "result.json"
    options = (*QUICK, "--photo", str(photo), "--json", str(result))
    assert main(["bench", "--host", HOST, str(tiny), "no.edgecap", *options]) == 1
    out, err = capsys.readouterr()
    assert err == (
        "edgecap: no bundle at no.edgecap: give a .edgecap folder or file, or leave --bundle out "
        "to use the packaged one\n"
    )
    assert out.splitlines()[-1].startswith("| ")
    value = json.loads(result.read_text())
    first, second = value["bundles"]
    assert (first["path"], first["setup"]["threads"]) == (str(tiny), 1)
    assert first["stages_ms"]["total"]["runs"] == 1
    assert second["path"] == "no.edgecap"
    assert value["photo"]["path"] == str(photo)
    assert list(device.scratch.iterdir()) == []


def test_a_connection_that_is_lost_is_one_line(
    device: Device, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device.install(
        'echo \'{"format": "edgecap-bench",\'\n'
        'process=$PPID\nwhile [ "$(cat /proc/$process/comm)" != sshd ]; do\n'
        "    process=$(cut -d ' ' -f 4 /proc/$process/stat)\ndone\nkill -9 $process\nsleep 5"
    )
    result, page = tmp_path / "result.json", tmp_path / "page.html"
    result.write_text("older")
    options = (*QUICK, "--json", str(result))
    assert main(["bench", "--host", HOST, str(tiny), *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"edgecap: {HOST}: no connection, or it was lost (")
    assert err.count("\n") == 1
    assert result.read_text() == "older"
    assert not page.exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "has no edgecap in its path"),
        ("echo edgecap: No such option: --rounds >&2; exit 2", "No such option: --rounds"),
        ('echo \'{"format": "edgecap-bench", "version": 3}\'', "expected edgecap-bench 2"),
    ],
)
def test_a_device_that_cannot(
    script: str | None,
    said: str,
    device: Device,
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if script is not None:
        device.install(script)
    assert main(["bench", "--host", HOST, str(tiny), *QUICK]) != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert HOST in err
    assert said in err
    assert err.count("\n") == 1
    assert list(device.scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "-oProxyCommand=touch x"), "expected a host"),
        (("--host", "pi", "--data", "flickr8k"), "measures no quality"),
    ],
)
def test_bad_requests(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("device")
def test_nobody_answers(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--host", "ssh://nobody@127.0.0.1:9", str(tiny), *QUICK]) == 1
    err = capsys.readouterr().err
    assert "no connection" in err
    assert err.count("\n") == 1
