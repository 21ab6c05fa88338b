"""A Ray cluster of several nodes on this machine, small and silent."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ROOT, command_environment

# Bytes; the least that Ray takes.
OBJECT_STORE = 80_000_000
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(OBJECT_STORE),
    # Behind all else that runs, which Ray's workers are by default, a test may take for ever.
    "RAY_worker_niceness": "0",
}
# A machine with other things to do may take longer to start a node than the 30 s that Ray waits.
ATTEMPTS = 3


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """What Ray reads from the environment; its processes find our packages, and the tests."""
    packages = os.pathsep.join((str(ROOT / "tests"), command_environment()["PYTHONPATH"]))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, "PYTHONPATH": packages}.items():
            patch.setenv(name, value)
        yield


@contextlib.contextmanager
def ray_nodes(count: int) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` of so many nodes with one core each."""
    pytest.importorskip("ray", reason="needs the extra cluster")
    with settings():
        from ray.cluster_utils import Cluster

        for left in reversed(range(ATTEMPTS)):
            cluster = Cluster()
            try:
                add_node(cluster, include_dashboard=False)
                for _ in range(count - 1):
                    add_node(cluster)
                break
            except Exception:
                cluster.shutdown()
                if not left:
                    raise
        try:
            yield cluster
        finally:
            cluster.shutdown()


def add_node(cluster: Any, **options: Any) -> Any:
    """One more node, with one core."""
    return cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE, **options)
