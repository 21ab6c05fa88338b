"""Files that once did harm, kept by `tests/fuzzing/fuzz.py`, and a few that never did."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hostile_bundles import check, mutated
from hostile_photos import mutation

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "fuzzing"))

from fuzz import FOUND, TARGETS  # noqa: E402

FILES = sorted(FOUND.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_was_found_does_no_harm_any_more(path):
    TARGETS[path.name.split("-")[0]][0](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzers_take_sound_and_broken_files(name):
    target, seeds = TARGETS[name]
    generator, sound = random.Random(0), seeds()
    for content in sound:
        target(content)
        target(mutation(content, generator, sound))


@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzers_notice_what_is_wrong(name, monkeypatch):
    from edgecap import image, tokenizer

    def broken(*_):
        raise KeyError("no refusal")

    monkeypatch.setattr(image, "decode", broken)
    monkeypatch.setattr(tokenizer.Tokenizer, "from_json", broken)
    with pytest.raises(KeyError):
        TARGETS[name][0](b"x")


def test_mutated_bundles_are_refused_or_give_the_same_words():
    found = check(seed=0, count=60)
    assert sum(found.values()) == 60
    assert found["refused"] > 40


def test_the_same_seed_makes_the_same_bundles(tmp_path):
    def contents(seed):
        for path in mutated(9, seed, tmp_path):
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            yield [file.read_bytes() for file in files]

    assert list(contents(1)) == list(contents(1))
    assert list(contents(1)) != list(contents(2))
