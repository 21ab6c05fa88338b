"""What a measurement says of the machine: read where the system tells it, unknown where not."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgecap_bench import conditions, heat, load, memory
from edgecap_bench.heat import Heat, throttling

COOL = Heat(40.0, 1_500, 3, 0x50000)


@pytest.mark.parametrize(
    ("cpuinfo", "cpu", "features"),
    [
        (
            "model\t: 85\nmodel name\t: Some x86 CPU @ 2.00GHz\nflags\t: fpu avx2 avx512_vnni\n",
            "Some x86 CPU @ 2.00GHz",
            ("avx2", "avx512_vnni"),
        ),
        (
            "Features\t: fp asimd asimddp\nmodel name\t: ARMv7 rev 3\nModel\t: Raspberry Pi 4\n",
            "Raspberry Pi 4",
            ("asimd", "asimddp"),
        ),
    ],
)
def test_cpu(
    cpuinfo: str, cpu: str, features: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: cpuinfo)
    assert conditions.machine().cpu == cpu
    assert conditions._features() == features


def test_what_cannot_be_read_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", unreadable)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "")
    monkeypatch.setattr(platform, "freedesktop_os_release", unreadable)
    monkeypatch.setattr(platform, "platform", lambda **_: "")
    monkeypatch.setattr(conditions.shutil, "which", lambda _: None)
    monkeypatch.delattr(os, "getloadavg")
    found = conditions.Watch().conditions()
    assert (found.machine.cpu, found.machine.architecture) == ("unknown", "unknown")
    assert (found.distribution, found.commit) == ("unknown", "unknown")
    assert found.machine.load_average is None
    assert (found.features, found.governor, found.other_cores) == (None, None, None)
    assert found.before == found.after == Heat(None, None, None, None)
    assert found.warnings == ()
    assert memory.resident_memory() is None


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty /sys, on a machine without a Raspberry Pi's firmware."""
    monkeypatch.setattr(heat, "_SYS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def test_heat_is_read_from_the_system(system: Path) -> None:
    cpu = "devices/system/cpu"
    write(
        system,
        {
            "class/thermal/thermal_zone0/temp": "41500\n",
            "class/thermal/thermal_zone1/temp": "52000\n",
            "class/thermal/thermal_zone2/temp": "switched off\n",
            f"{cpu}/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
            f"{cpu}/cpu1/cpufreq/scaling_cur_freq": "2400000\n",
            f"{cpu}/cpu0/cpufreq/scaling_governor": "ondemand\n",
            f"{cpu}/cpu1/cpufreq/scaling_governor": "ondemand\n",
            f"{cpu}/cpu0/thermal_throttle/core_throttle_count": "2\n",
            f"{cpu}/cpu0/thermal_throttle/package_throttle_count": "5\n",
        },
    )
    assert heat.heat() == Heat(52.0, 2_400, 7, None)
    assert heat.governor() == "ondemand"


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("echo throttled=0x50005", 0x50005),
        ("echo VCHI initialization failed; exit 255", None),
        ("echo nothing of use", None),
    ],
)
def test_flags_of_a_raspberry_pi(system: Path, script: str, flags: int | None) -> None:
    write(system, {"bin/vcgencmd": f"#!/bin/sh\n{script}\n"})
    (system / "bin/vcgencmd").chmod(0o755)
    assert heat.heat().firmware_flags == flags


@pytest.mark.parametrize(
    ("count", "flags", "reasons"),
    [
        (3, 0x50000, ()),  # that has been so before, and is over
        (4, 0x50000, ("throttled because of heat",)),
        (3, 0x50001, ("under-voltage",)),
        (3, 0xD0000, ("soft temperature limit",)),
        (None, None, ()),
    ],
)
def test_throttling(count: int | None, flags: int | None, reasons: tuple[str, ...]) -> None:
    assert throttling(COOL, Heat(70.0, 600, count, flags)) == reasons


def test_other_work_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([0.0, 0.5, None])
    monkeypatch.setattr(conditions.OtherLoad, "cores", lambda _: next(taken))
    monkeypatch.setattr(conditions, "_load_average", lambda: 2.5)
    monkeypatch.setattr(heat, "_SYS", Path("nowhere"))
    assert conditions.Watch().conditions().warnings == ()
    assert conditions.Watch().conditions().warnings == ("other work took 0.50 cores",)
    assert conditions.Watch().conditions().warnings == ("other work was running before",)


def test_our_own_work_is_not_the_load_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    # Seconds of the clock, of all processors, of ours: 3 of 5 busy seconds in 10 are not ours.
    moments = iter([(100.0, 40.0, 7.0), (110.0, 45.0, 9.0), None])
    monkeypatch.setattr(load, "_now", lambda: next(moments))
    watch = load.OtherLoad()
    assert watch.cores() == pytest.approx(0.3)
    assert watch.cores() is None


def test_the_load_of_a_moment_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    # One tick of a processor, 0.1 ms after the start: it is no load of 100 cores.
    moments = iter([(100.0, 40.0, 7.0), (100.0001, 40.01, 7.0)])
    monkeypatch.setattr(load, "_now", lambda: next(moments))
    assert load.OtherLoad().cores() is None


def test_the_load_can_be_read_here() -> None:
    cores = load.other_cores(1.0)
    assert cores is None or 0 <= cores <= 1 + (os.cpu_count() or 1)


def test_peak_memory_grows_with_what_is_held() -> None:
    before = memory.peak_memory()
    held = np.ones(40_000_000, np.uint8)
    peak, resident = memory.peak_memory(), memory.resident_memory()
    assert before is not None
    assert peak is not None
    assert peak >= max(before, held.nbytes)
    assert resident is None or held.nbytes <= resident <= peak


def test_the_commit_is_edgecaps_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in somebody's repository has not that one's commit."""
    module = tmp_path / "site-packages" / "edgecap" / "__init__.py"
    write(tmp_path, {"site-packages/edgecap/__init__.py": "", "theirs.txt": ""})
    monkeypatch.setattr(conditions.edgecap, "__file__", str(module))
    who = ("-c", "user.name=a", "-c", "user.email=a@b")

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init")
    git("add", "theirs.txt")
    git("commit", "-m", "theirs")
    assert conditions.source_commit() == "unknown"
    git("add", ".")
    git("commit", "-m", "edgecap")
    assert conditions.source_commit() == git("rev-parse", "--short=12", "HEAD")
    module.write_text("changed = True\n")
    assert conditions.source_commit().endswith("-dirty")
