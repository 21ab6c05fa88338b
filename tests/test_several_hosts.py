"""The example that trains one decoder on several hosts, as two processes on loopback."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import grid_rows
import numpy as np
from conftest import ROOT, command_environment
from shapes import write_corpus

from edgecap_converter import checkpoints
from edgecap_converter.model import Model

HERE = ROOT / "tests"


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _host(index: int, workers: list[str], data: Path, folder: Path) -> "subprocess.Popen[str]":
    task = {"type": "worker", "index": index}
    config = {"cluster": {"worker": workers}, "task": task}
    environment = command_environment()
    paths = os.pathsep.join((str(HERE), environment["PYTHONPATH"]))
    return subprocess.Popen(
        [sys.executable, HERE / "several_hosts_worker.py", data, folder],
        env={**environment, "PYTHONPATH": paths, "TF_CONFIG": json.dumps(config)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_hosts_train_one_decoder_to_the_same_weights(tmp_path: Path) -> None:
    data = write_corpus(tmp_path / "shapes", train=40, dev=8)
    workers = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    folders = [tmp_path / f"host-{index}" for index in range(2)]
    hosts = [_host(index, workers, data, folder) for index, folder in enumerate(folders)]
    try:
        for host in hosts:
            _, said = host.communicate(timeout=600)
            assert host.returncode == 0, said
    finally:
        for host in hosts:
            host.kill()
    losses = [json.loads((folder / "losses.json").read_text()) for folder in folders]
    # Each saw its own share of the captions, and learned from both.
    assert losses[0] != losses[1]
    for one in losses:
        assert one[-1] < 0.7 * one[0]
    first, second = (checkpoints.load(folder / "trained.npz")[0] for folder in folders)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    grid_rows.know_tiny()
    assert Model.load(folders[0] / "trained.npz").configuration.decoder == "attention"
