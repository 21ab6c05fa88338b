"""What several tests need: the tiny bundle, drawn photos, the real command line, a server."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from shapes import COLOURS, SHAPES, draw

from edgecap.bundle import Bundle, write_bundle
from edgecap.manifest import DECODER, ENCODER, TOKENIZER
from edgecap_runtime import Captioner

if TYPE_CHECKING:
    from edgecap_bench.report import Report

ROOT = Path(__file__).resolve().parent.parent
TINY = Path(os.environ.get("EDGECAP_TEST_BUNDLE", ROOT / "tests" / "data" / "tiny.edgecap"))

# A shell that starts us in the background has SIGINT ignored, and all children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The tiny bundle, a folder; not to be changed."""
    return TINY


@pytest.fixture(scope="session")
def opened(tiny: Path) -> Bundle:
    return Bundle.open(tiny)


@pytest.fixture(scope="session")
def members(opened: Bundle) -> dict[str, bytes]:
    """Content of the tiny bundle's members, by name."""
    return {
        ENCODER: opened.encoder,
        DECODER: opened.decoder,
        TOKENIZER: opened.tokenizer.to_json(),
    }


@pytest.fixture(scope="session")
def tiny_zip(
    opened: Bundle, members: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny bundle as one zip file; not to be changed."""
    path = tmp_path_factory.mktemp("zip") / "tiny.edgecap"
    write_bundle(path, opened.manifest, members, as_zip=True)
    return path


@pytest.fixture
def remade(opened: Bundle, members: dict[str, bytes], tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny bundle with other manifest fields or members, all hashes in order."""

    def write(changed_members: dict[str, bytes] | None = None, **fields: object) -> Path:
        path = tmp_path / "remade.edgecap"
        manifest = dataclasses.replace(opened.manifest, **fields)  # type: ignore[arg-type]
        write_bundle(path, manifest, {**members, **(changed_members or {})})
        return path

    return write


@pytest.fixture(scope="session")
def captioner(tiny: Path) -> Captioner:
    return Captioner.load(tiny, threads=2)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve drawn photos, 96 pixels square, in one folder."""
    folder = tmp_path_factory.mktemp("photos")
    generator = random.Random(7)
    paths = []
    for index in range(12):
        colour, ground = generator.sample(sorted(COLOURS), 2)
        path = folder / f"{index:02}.png"
        draw(generator.choice(SHAPES), colour, ground, generator, 96).save(path)
        paths.append(path)
    return paths


@pytest.fixture(scope="session")
def photo(photos: list[Path]) -> Path:
    return photos[0]


@pytest.fixture(scope="session")
def report(tiny: Path) -> Report:
    """What `edgecap bench` finds of the tiny bundle in 2 rounds of 3 runs; not to be changed."""
    from edgecap_bench.report import Plan
    from edgecap_bench.session import Order, carry_out

    plan = Plan(rounds=2, runs=3, warm_up=1)
    found, shown = carry_out(Order((str(tiny),), ("auto",), (1,), plan), lambda _: None)
    assert shown == []
    return found


def _run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgecap", *map(str, arguments)]
    settings = {"capture_output": True, "text": True, "check": False, "env": command_environment()}
    return subprocess.run(command, **{**settings, **options})  # type: ignore[call-overload,no-any-return]


def command_environment() -> dict[str, str]:
    packages = os.pathsep.join(
        str(ROOT / folder) for folder in (".", "runtime", "converter", "benchmarks")
    )
    return {**os.environ, "PYTHONPATH": packages, "PYTHONUTF8": "1"}


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs `edgecap` with arguments in a process of its own."""
    return _run


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what some tests are about."""


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], str]]:
    """Starts servers on loopback from what answers a GET; gives their addresses."""
    running: list[_Server] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = _Server(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], Any]:
    """`with interrupted(Trainer):` Ctrl-C comes before the second step of its second epoch."""

    @contextlib.contextmanager
    def interrupted(trainer: type) -> Iterator[None]:
        epoch = trainer.epoch

        def stopping(self: Any, number: int) -> Iterator[float]:
            for step, loss in enumerate(epoch(self, number)):
                if (number, step) == (1, 1):
                    raise KeyboardInterrupt
                yield loss

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "epoch", stopping)
            with pytest.raises(KeyboardInterrupt):
                yield

    return interrupted
