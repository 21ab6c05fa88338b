"""`edgecap doctor` on this machine, and on ones where something crashes or is missing."""

from __future__ import annotations

import platform
import sys
import textwrap

import pytest

import edgecap
from edgecap import machine
from edgecap.commands import doctor
from edgecap_runtime.engines import Platform
from edgecap_runtime.interpreter import find_engine

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's signals")


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Puts a package before the installed one of its name, in child processes too."""
    from conftest import command_environment

    def write(package, module, body):
        (tmp_path / package).mkdir(exist_ok=True)
        (tmp_path / package / "__init__.py").write_text('__version__ = "2.3.0"\n')
        (tmp_path / package / f"{module}.py").write_text(textwrap.dedent(body))
        path = command_environment()["PYTHONPATH"]
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{path}")

    return write


def test_this_machine_runs_the_packaged_bundle(run):
    done = run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    engine = find_engine()
    for part in (
        f"edgecap       {edgecap.__version__}",
        platform.python_version(),
        machine.processor(),
        f"engine        {engine.distribution} {engine.version}",
    ):
        assert part in done.stdout
    assert done.stdout.splitlines()[-1] == "bundle        the packaged one runs"


def complaint(done):
    """The one line of a failed run, which has shown its facts before."""
    assert done.returncode == 1
    assert "processor" in done.stdout
    assert "the packaged one runs" not in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("edgecap: the packaged bundle does not run: ")
    return line


@linux
def test_an_illegal_instruction_on_import_is_a_sentence_that_names_the_package(run, pretend):
    pretend("ai_edge_litert", "interpreter", "import os\nos.kill(os.getpid(), 4)")
    line = complaint(run("doctor", "--backend", "litert", env=None))
    assert "import ai_edge_litert.interpreter ended by SIGILL" in line
    assert "pip install tflite-runtime 'numpy<2'" in line


@linux
@pytest.mark.parametrize(
    ("number", "name", "advice"),
    [(4, "SIGILL", "another machine"), (9, "SIGKILL", "add swap"), (11, "SIGSEGV", "reinstall")],
)
def test_a_crash_in_the_engine_is_a_sentence(run, pretend, number, name, advice):
    body = f"""
        import os
        class Interpreter:
            def __init__(self, **_):
                os.kill(os.getpid(), {number})
    """
    pretend("ai_edge_litert", "interpreter", body)
    line = complaint(run("doctor", "--backend", "litert", env=None))
    assert f"running a graph ended by {name}" in line
    assert advice in line


def test_an_engine_that_cannot_be_imported_says_what_to_install(run, pretend):
    pretend("ai_edge_litert", "interpreter", "raise ImportError('libLiteRt.so: not here')")
    line = complaint(run("doctor", "--backend", "litert", env=None))
    assert "libLiteRt.so: not here" in line
    assert "pip install ai-edge-litert" in line


def test_what_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(doctor, "LONGEST_SECONDS", 0.5)
    ended = doctor._run("-c", "import time; time.sleep(60)")
    assert ended.signal is None
    assert "has not finished" in str(ended.complaint)


@pytest.mark.parametrize(
    ("family", "found", "said"),
    [
        ("x86_64", "sse4_2 avx2 avx_vnni", "all that are of use"),
        ("x86_64", "sse2 avx2 avx512_vnni", "missing sse4_2 (needed)"),
        ("aarch64", "fp asimd", "missing asimddp (int8 would be faster with it)"),
        ("armv7l", "half thumb vfp", "missing neon (needed)"),
        ("riscv64", "rv64gc", "all that are of use"),
        ("x86_64", "", "unknown"),
    ],
)
def test_missing_instructions_are_named(family, found, said):
    assert doctor._instructions(family, frozenset(found.split())) == said


@pytest.mark.parametrize(
    ("system", "family", "bits", "python", "advice"),
    [
        ("Linux", "x86_64", 64, (3, 10), "run  pip install ai-edge-litert"),
        ("Linux", "aarch64", 64, (3, 13), "run  pip install ai-edge-litert"),
        ("Darwin", "arm64", 64, (3, 14), "run  pip install ai-edge-litert"),
        ("Windows", "AMD64", 64, (3, 12), "run  pip install ai-edge-litert"),
        ("Linux", "x86_64", 64, (3, 15), "no engine exists for Python 3.15 yet"),
        ("Linux", "armv7l", 32, (3, 11), "run  pip install tflite-runtime 'numpy<2'"),
        ("Linux", "aarch64", 32, (3, 11), "run  pip install tflite-runtime 'numpy<2'"),
        ("Linux", "armv7l", 32, (3, 13), "no engine exists for 32-bit Arm with Python 3.13"),
        ("Linux", "armv6l", 32, (3, 11), "no engine exists for armv6"),
        ("Darwin", "x86_64", 64, (3, 12), "no engine exists for Darwin on x86_64"),
        ("Windows", "ARM64", 64, (3, 12), "no engine exists for Windows on ARM64"),
        ("Windows", "AMD64", 32, (3, 12), "no engine exists for Windows on AMD64 with a 32-bit"),
    ],
)
def test_each_platform_is_told_its_engine_or_that_there_is_none(
    system, family, bits, python, advice
):
    assert Platform(system, family, bits, python).advice().startswith(advice)


def test_memory_and_instructions_are_unknown_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(machine, "_proc", lambda _: "")
    assert machine.memory() is None
    assert machine.instructions() == frozenset()


def test_what_linux_tells_is_read(monkeypatch):
    files = {
        "meminfo": "MemTotal:  2000 kB\nMemFree:  1 kB\nMemAvailable:  1500 kB\n",
        "cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp\n\nModel\t\t: Raspberry Pi 5\n",
    }
    monkeypatch.setattr(machine, "_proc", files.__getitem__)
    assert machine.memory() == (2_048_000, 1_536_000)
    assert machine.instructions() == {"fp", "asimd", "asimddp"}
    assert machine.processor() == "Raspberry Pi 5"
