"""Photos that are broken or meant to do harm: each gets a caption or a line that says why not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import command_environment
from hostile_photos import SOUND, mutated

SCRIPT = Path(__file__).parent / "hostile_photos.py"
MOST_SECONDS, MOST_MEGABYTES = 10, 400


def run(*arguments):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=command_environment()
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


@pytest.fixture(scope="module", name="folder")
def folder_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    run("make", folder)
    return folder


def test_none_of_thousands_does_any_harm(folder):
    found = json.loads(run("check", folder))
    files = [path.name for path in folder.iterdir()]
    assert len(files) >= 2_000
    assert found["captioned"] + found["refused"] == len(files)
    assert found["wrong"] == []
    # Of the processor, whatever else the machine does meanwhile.
    assert found["slowest_seconds"] < MOST_SECONDS, found["slowest"]
    assert found["peak_megabytes"] < MOST_MEGABYTES
    assert found["captioned"] > sum(name.startswith(SOUND) for name in files)
    assert found["refused"] > len(files) / 4


def test_the_same_seed_breaks_photos_in_the_same_way():
    assert list(mutated(60, seed=1)) == list(mutated(60, seed=1))
    assert list(mutated(60, seed=1)) != list(mutated(60, seed=2))
