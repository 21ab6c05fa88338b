"""`edgecap caption FOLDER --output NAME --cluster ADDRESS` on nodes of Ray on loopback."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import time
from pathlib import Path

import loopback
import pytest
from PIL import Image

from edgecap.cli import main
from edgecap.commands import progress
from edgecap.errors import ClusterError
from edgecap_runtime import cluster as cluster_module
from edgecap_runtime.cluster import ClusterCaptioner
from edgecap_runtime.cluster_worker import ABSENT
from edgecap_runtime.found import find
from edgecap_runtime.sources import File

# Of a library that takes a while.
PHOTOS = 60
# An address where nobody listens.
NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with one core each."""
    with loopback.ray_nodes(2) as nodes:
        yield nodes


@pytest.fixture
def edgecap(tiny, capfd, monkeypatch):
    """Runs the command line in this process; status and lines on standard error."""
    monkeypatch.setattr(progress, "_LOG_SECONDS", math.inf)  # however long it takes

    def call(*arguments):
        status = main(["caption", "--bundle", str(tiny), *map(str, arguments)])
        output, complaints = capfd.readouterr()
        assert output == ""
        return status, complaints.splitlines()

    return call


@pytest.fixture
def library(photos, tmp_path, monkeypatch):
    """Twelve photos in three folders, one file that is none, one name that is not UTF-8."""
    folder = tmp_path / "library"
    for index, photo in enumerate(photos):
        place = folder / "abc"[index % 3] / photo.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, place)
    (folder / "a" / "bad.png").write_bytes(b"no photo")
    shutil.copy(photos[0], os.fsencode(folder / "b") + b"/caf\xe9.png")
    monkeypatch.chdir(tmp_path)
    return Path("library")  # what a relative path is must be clear to other processes


@pytest.fixture
def slow_library(tmp_path):
    """Photos that take longer to read than a node to be lost."""
    folder = tmp_path / "slow"
    folder.mkdir()
    Image.effect_noise((1_500, 1_500), 90).convert("RGB").save(folder / "000.png")
    for index in range(1, PHOTOS):
        os.link(folder / "000.png", folder / f"{index:03}.png")
    return folder


def at_result(patch, number, act):
    """Something happens amid the results of a run."""
    caption_many = ClusterCaptioner.caption_many

    def acting(self, photos, **search):
        for count, result in enumerate(caption_many(self, photos, **search)):
            if count == number:
                act()
            yield result

    patch.setattr(ClusterCaptioner, "caption_many", acting)


def wait_for_all(patch):
    """No machine begins before all have started: otherwise the others may be done by then."""
    from ray.data import DataContext

    patch.setattr(DataContext.get_current(), "wait_for_min_actors_s", 300)


def said(output):
    """The lines of all shards by path, without times, each path once."""
    files = sorted(output.glob("part-*")) if output.is_dir() else [output]
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    by_path = {line["path"]: {**line, "timings_ms": None} for line in lines}
    assert len(by_path) == len(lines)
    return by_path


def test_the_shards_hold_what_one_machine_writes_and_a_run_goes_on(
    cluster, edgecap, library, photos, tmp_path
):
    alone, shards = tmp_path / "alone.jsonl", tmp_path / "shards.jsonl"
    run = (library, "--output", shards, "--cluster", cluster.address)
    expected = edgecap(library, "--output", alone)
    assert expected[0] == 1
    status, notes = edgecap(*run)
    assert (status, notes) == (1, [line.replace(str(alone), str(shards)) for line in expected[1]])
    assert said(shards) == said(alone)
    assert len(said(shards)) == 14

    # Where nothing is to be done no cluster is needed.
    before = {one: one.read_bytes() for one in shards.iterdir()}
    status, (line,) = edgecap(library, "--output", shards, "--cluster", NOBODY)
    assert (status, line) == (
        1, f"{shards}: 0 captioned, 13 done before, 1 failed before: --retry tries again"
    )  # fmt: skip
    assert {one: one.read_bytes() for one in shards.iterdir()} == before

    shutil.copy(photos[1], library / "c" / "new.png")
    shutil.copy(photos[2], library / "a" / "bad.png")
    status, (line,) = edgecap(*run)
    assert (status, line) == (0, f"{shards}: 2 captioned, 13 done before")
    edgecap(library, "--output", alone)
    assert said(shards) == said(alone)
    assert len(said(shards)) == 15


def test_addresses_in_and_parquet_out(cluster, edgecap, library, tmp_path):
    from pyarrow import parquet

    shutil.rmtree(library / "b")  # an address is always text
    alone = tmp_path / "alone.jsonl"
    edgecap(library.absolute(), "--output", alone)
    photos, output = f"file://{library.absolute()}", f"file://{tmp_path / 'out.parquet'}"
    status, notes = edgecap(photos, "--output", output, "--cluster", cluster.address)
    assert status == 1
    assert notes[-1] == f"{output}: 8 captioned, 1 failed"
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    words = {row["path"].removeprefix("file://"): row["caption"] for row in rows}
    assert words == {name: line.get("caption") for name, line in said(alone).items()}
    assert edgecap(photos, "--output", output, "--cluster", NOBODY)[1] == [
        f"{output}: 0 captioned, 8 done before, 1 failed before: --retry tries again"
    ]


def test_a_node_is_killed_and_every_photo_is_captioned_once(
    cluster, edgecap, slow_library, captioner, tmp_path, monkeypatch
):
    node = loopback.add_node(cluster)
    wait_for_all(monkeypatch)
    monkeypatch.setattr(cluster_module, "BLOCK", 2)

    def lose_node():
        from ray._private.state import actors

        there = [
            one["ActorClassName"]
            for one in actors().values()
            if one["Address"]["NodeID"] == node.node_id and one["State"] == "ALIVE"
        ]
        assert any("Worker" in name for name in there)
        cluster.remove_node(node, allow_graceful=False)

    at_result(monkeypatch, 10, lose_node)
    output = tmp_path / "out.jsonl"
    status, notes = edgecap(slow_library, "--output", output, "--cluster", cluster.address)
    assert (status, notes[-1]) == (0, f"{output}: {PHOTOS} captioned")
    lines = said(output)
    assert sorted(lines) == sorted(str(one) for one in slow_library.iterdir())
    assert {line["caption"] for line in lines.values()} == {
        captioner.caption(slow_library / "000.png").text
    }


def test_a_machine_with_another_version_or_none_ends_the_run_with_a_line(
    cluster, edgecap, library, tmp_path, monkeypatch
):
    wait_for_all(monkeypatch)
    # Not in the folder that a run starts in: Ray's processes look there too.
    module = tmp_path / "packages" / "edgecap" / "__init__.py"
    module.parent.mkdir(parents=True)
    output = tmp_path / "out.jsonl"
    run = (library, "--output", output, "--cluster", cluster.address)
    node = loopback.add_node(cluster, env_vars={"PYTHONPATH": str(tmp_path / "packages")})
    try:
        for content, complaint in (
            ("__version__ = '0.0.1'", " has edgecap 0.0.1, this one "),
            ("raise ModuleNotFoundError('edgecap')", " has no edgecap: install edgecap "),
        ):
            module.write_text(content)
            status, notes = edgecap(*run, "--force")
            assert status == 1
            assert complaint in notes[-1]
    finally:
        cluster.remove_node(node)
    # The same command goes on.
    edgecap(*run)
    assert len(said(output)) == 14


def test_a_run_that_is_ended_keeps_what_is_done_and_goes_on(
    cluster, edgecap, slow_library, tmp_path, monkeypatch
):
    output = tmp_path / "out.jsonl"
    options = ("--output", output, "--cluster", cluster.address)
    with monkeypatch.context() as patch:
        patch.setattr(cluster_module, "BLOCK", 2)
        at_result(patch, 10, lambda: os.kill(os.getpid(), signal.SIGTERM))
        status, notes = edgecap(slow_library, *options)
    assert status == 130
    assert notes == [
        f"edgecap: interrupted, the same command goes on; {output}: {len(said(output))} captioned"
    ]
    before = said(output)
    assert 10 <= len(before) < PHOTOS
    left = PHOTOS - len(before)
    assert edgecap(slow_library, *options) == (
        0, [f"{output}: {left} captioned, {len(before)} done before"]
    )  # fmt: skip
    assert len(said(output)) == PHOTOS
    assert before.items() <= said(output).items()


def test_a_captioner_may_not_want_more_cores_than_there_are(cluster, edgecap, library, tmp_path):
    options = ("--output", tmp_path / "out.jsonl", "--cluster", cluster.address, "--threads", 64)
    assert edgecap(library, *options) == (
        2, ["edgecap: --threads 64: no machine there has more than 1 cores"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        (NOBODY, ":9: Connection refused): start it with ray start --head and join it here with "),
        ("nowhere", "(Invalid address format: nowhere)"),
        ("ray://127.0.0.1:10001", "expected auto, local or HOST:PORT"),
        ("127.0.0.1:99999", "no Ray cluster of which this machine is part"),
    ],
)
def test_an_address_where_no_ray_answers_is_one_line_and_soon(
    edgecap, library, tmp_path, address, complaint
):
    pytest.importorskip("ray", reason="needs the extra cluster")
    begin = time.monotonic()
    status, (line,) = edgecap(library, "--output", tmp_path / "out.jsonl", "--cluster", address)
    assert time.monotonic() - begin < 20
    assert status == 2
    assert line.startswith(f"edgecap: --cluster {address}: ")
    assert complaint in line


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--output", "out.csv"), "with --cluster expected a name ending in .jsonl or .parquet"),
        (("--output", "out.jsonl", "--watch"), "--watch is for one machine"),
        (("--output", "s3://b/out.jsonl", "--sidecar", "xmp", "s3://b/c"), "photos in files"),
        (("--output", "none/out.jsonl"), "its folder does not exist: make it first"),
        (("--output", "nothing://b/out.jsonl"), "Protocol not known: nothing"),
        ((), "--cluster needs --output"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(edgecap, library, options, complaint):
    pytest.importorskip("ray", reason="needs the extra cluster")
    status, (line,) = edgecap(library, "--cluster", NOBODY, *options)
    assert status == 2
    assert complaint in line


def test_without_ray_it_is_said_what_to_install(edgecap, library, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    status, (line,) = edgecap(library, "--output", tmp_path / "out.jsonl", "--cluster", "auto")
    assert status == 2
    assert line.endswith("(ray is not installed): run pip install 'edgecap[cluster]'")


def test_a_machine_that_does_not_see_a_photo_ends_the_run(library):
    photo = find(File(str(library / "a" / "00.png")))
    with pytest.raises(ClusterError, match="pi2 does not see library/a/00"):
        cluster_module._result(photo, {ABSENT: "pi2"})
    Path(photo.name).unlink()
    result = cluster_module._result(photo, {ABSENT: "pi2"})
    assert str(result.error) == f"{photo.name}: was removed before it was read"
