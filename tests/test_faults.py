"""Conversions that are stopped, or whose disk gives out, wherever that happens.

`test_convert.py` kills them, `check_robustness.py` at random moments; libraries that are stopped or
fill a disk are in `test_library_command.py`.
"""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from interrupted_conversion import FOLDERS, left_over
from make_tiny_bundle import tiny_conversion  # found where interrupted_conversion looks
from shapes import write_corpus

from edgecap.bundle import Bundle
from edgecap.errors import ConversionError, EdgecapError
from edgecap_converter.conversion import Conversion, convert

STAGES = (
    "features:",
    "training 1/1:",
    "fine_tuning 1/1:",
    "sequence 1/1:",
    "exporting the encoder\n",
    "exporting the decoder\n",
    "verifying:",
)
OPTIONS = (
    "--encoder=mobilenet_v2_0.35", "--encoder-weights=random", "--decoder=lstm",
    "--features=8", "--embedding=8", "--hidden=8", "--epochs=1", "--fine-tuning-epochs=1",
    "--sequence-epochs=1", "--calibration-photos=4", "--max-quality-loss=1000",
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "shapes", train=20, dev=4)


def _request(corpus: Path, folder: Path) -> Conversion:
    request = tiny_conversion(corpus, folder / "shapes.edgecap", folder / "work")
    plan = request.plan.changed({"training.epochs": 1, "training.batch": 25})
    return dataclasses.replace(request, plan=plan, calibration_photos=4, maximum_quality_loss=1e3)


def _start(corpus: Path, folder: Path) -> subprocess.Popen[bytes]:
    places = f"--data={corpus}", f"--output={folder / 'o.edgecap'}", f"--work={folder / 'work'}"
    return subprocess.Popen(
        [sys.executable, "-m", "edgecap", "convert", *places, *OPTIONS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(FOLDERS)},
        stderr=subprocess.PIPE,
    )


def _until(child: subprocess.Popen[bytes], said: str) -> bytes:
    assert child.stderr is not None
    heard = b""
    while said.encode() not in heard:
        heard += (one := child.stderr.read(1))
        assert one, f"it never said {said!r}: {heard.decode(errors='replace')}"
    return heard


def test_ctrl_c_at_each_stage_is_one_line_and_the_same_command_goes_on(
    corpus: Path, tmp_path: Path
) -> None:
    for stage in STAGES:
        child = _start(corpus, tmp_path)
        heard = _until(child, stage)
        time.sleep(0.2)  # amid the work, not while its bar is drawn for the first time
        child.send_signal(signal.SIGINT)
        heard += child.communicate(timeout=120)[1]
        assert child.returncode == 130, stage
        assert b"Traceback" not in heard
        assert heard.splitlines()[-1] == b"edgecap: interrupted", stage
        assert not (tmp_path / "o.edgecap").exists()
    child = _start(corpus, tmp_path)
    heard = child.communicate(timeout=300)[1]
    assert child.returncode == 0, heard
    Bundle.open(tmp_path / "o.edgecap")
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("size", "during"),
    [(16_000, "cannot keep features"), (100_000, "best.npz"), (200_000, "latest.npz")],
)
def test_a_disk_that_fills_is_one_line_and_the_same_conversion_goes_on(
    corpus: Path, tmp_path: Path, size: int, during: str
) -> None:
    request = _request(corpus, tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a full disk, a write fails half-way.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(ConversionError, match=f"{during}.*: free space") as caught:
            convert(request)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert not request.output.exists()
    convert(request)
    Bundle.open(request.output)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("place", ["output", "work"])
def test_a_folder_that_takes_no_files_is_one_line(corpus: Path, tmp_path: Path, place: str) -> None:
    # Not even root may write into /proc.
    request = dataclasses.replace(
        _request(corpus, tmp_path), **{place: Path("/proc/edgecap/shapes.edgecap")}
    )
    with pytest.raises(EdgecapError, match="/proc/edgecap") as caught:
        convert(request)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.glob("*.edgecap"))
    assert left_over(tmp_path) == []
