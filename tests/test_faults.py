"""Conversions whose files cannot be written, wherever that happens: one line, and they go on.

`test_convert.py` interrupts and kills them, `check_robustness.py` at random moments; libraries that
fill a disk are in `test_library_command.py`.
"""

import dataclasses
import resource
from pathlib import Path

import pytest
from interrupted_conversion import left_over
from make_tiny_bundle import tiny_conversion  # found where interrupted_conversion looks
from shapes import write_corpus

from edgecap.bundle import Bundle
from edgecap.errors import ConversionError, EdgecapError
from edgecap_converter.conversion import Conversion, convert


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "shapes", train=20, dev=4)


def _request(corpus: Path, folder: Path) -> Conversion:
    request = tiny_conversion(corpus, folder / "shapes.edgecap", folder / "work")
    plan = request.plan.changed({"training.epochs": 1, "training.batch": 25})
    return dataclasses.replace(request, plan=plan, calibration_photos=4, maximum_quality_loss=1e3)


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
