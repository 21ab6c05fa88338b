"""`edgecap inspect` as a person or a program runs it."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from edgecap import schema
from edgecap.bundle import MANIFEST
from edgecap.cli import main
from edgecap.manifest import MEMBERS, Weights
from edgecap.sizes import folder_bytes, member_sizes, zip_bytes
from edgecap_runtime.interpreter import find_engine


@pytest.fixture
def inspect(capfd):
    """Runs the command line in this process; status, output, complaints."""

    def call(*arguments):
        status = main(["inspect", *map(str, arguments)])
        output, complaints = capfd.readouterr()
        return status, output, complaints.splitlines()

    return call


def refused(result, status):
    found, output, complaints = result
    assert (found, output) == (status, "")
    (line,) = complaints
    assert line.startswith("edgecap: ")
    return line


def test_everything_the_manifest_says_is_shown(inspect, tiny, opened):
    status, output, complaints = inspect(tiny)
    assert (status, complaints) == (0, [])
    manifest = opened.manifest
    engine = find_engine()
    for part in (
        f"{manifest.name}: edgecap-bundle 1",
        f"both graphs run on {engine.distribution} {engine.version}",
        *MEMBERS, MANIFEST,
        f"photo    {manifest.input.width} x {manifest.input.height} RGB",
        f"{manifest.encoder.multiply_accumulates:,} multiply-accumulates",
        f"{manifest.decoder.multiply_accumulates:,} multiply-accumulates",
        "photo: uint8 1 x 32 x 32 x 3",
        f"{len(opened.tokenizer)} known, at most {manifest.maximum_words} said",
        manifest.origin.dataset, manifest.origin.commit, "learning_rate 0.01",
        f"ai-edge-litert {manifest.oldest_engines['ai-edge-litert']}",
        manifest.sha256, manifest.licence, manifest.model_card.splitlines()[0],
        "float model", "constant caption", f"{manifest.measured.bundle['cider']:.1f}",
        f"{manifest.measured.photos} photos of {manifest.measured.split}",
    ):  # fmt: skip
        assert part in output


def test_sizes_are_in_millions_of_bytes(inspect, tiny):
    (line,) = (line for line in inspect(tiny)[1].splitlines() if "folder, zip file" in line)
    sizes = member_sizes(tiny)
    assert line.split()[-2:] == [
        f"{folder_bytes(sizes) / 1e6:.3f}", f"{zip_bytes(sizes) / 1e6:.3f}",
    ]  # fmt: skip


def test_json_gives_manifest_sizes_and_engine(inspect, tiny, tiny_zip, opened):
    status, output, complaints = inspect("--json", tiny)
    value = json.loads(output)
    assert (status, complaints) == (0, [])
    assert value["path"] == str(tiny)
    assert value["manifest"] == schema.to_value(opened.manifest)
    assert set(value["sizes"]["members"]) == {MANIFEST, *MEMBERS}
    assert value["sizes"]["zip_bytes"] == tiny_zip.stat().st_size
    assert value["engine"]["version"] == find_engine().version
    assert json.loads(inspect("--json", tiny_zip)[1])["sizes"] == value["sizes"]


def test_a_bundle_that_was_never_measured(inspect, remade):
    status, output, _ = inspect(remade(measured=None))
    assert status == 0
    assert "Measured when it was made\nnothing\n" in output


def test_weights_that_are_zero_are_counted(inspect, remade, opened):
    weights = (Weights("CONV_2D", 2_000, 1_600), Weights("DEPTHWISE_CONV_2D", 500, 1))
    encoder = dataclasses.replace(opened.manifest.encoder, weights=weights)
    status, output, _ = inspect(remade(encoder=encoder))
    assert status == 0
    assert "weights  CONV_2D: 2,000, 80.0 % of them zero\n" in output
    assert "weights  DEPTHWISE_CONV_2D: 500, 0.2 % of them zero\n" in output


def test_what_a_bundle_says_cannot_command_the_terminal(inspect, remade):
    status, output, _ = inspect(remade(model_card="one\n\x1b[2Jtwo\x9b", licence="a\x07"))
    assert status == 0
    assert "one\n\\x1b[2Jtwo\\x9b" in output
    assert not {"\x1b", "\x07", "\x9b"} & set(output)


@pytest.mark.parametrize("name", [MANIFEST, *MEMBERS])
def test_a_broken_member_is_one_line_and_status_1(inspect, tiny, tmp_path, name):
    path = shutil.copytree(tiny, tmp_path / "broken.edgecap")
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    assert name in refused(inspect(path), 1)
    assert name in refused(inspect("--json", path), 1)


def test_graphs_that_are_not_what_the_manifest_says(inspect, remade, opened):
    decoder = dataclasses.replace(opened.manifest.decoder, signature="other")
    assert "'other'" in refused(inspect(remade(decoder=decoder)), 1)


def test_a_missing_bundle_is_wrong_usage(run, tmp_path):
    done = run("inspect", tmp_path / "none.edgecap")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no bundle at" in done.stderr


def test_help_gives_defaults_and_an_example(run):
    text = " ".join(run("inspect", "--help").stdout.split())
    assert "[default: auto]" in text
    assert "by default the packaged one" in text
    assert "Example: edgecap inspect" in text


def test_wrong_usage_points_to_the_help(inspect):
    assert "edgecap inspect --help" in refused(inspect("--bogus"), 2)
