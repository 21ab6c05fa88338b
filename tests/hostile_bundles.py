"""Bundles that something happened to, made by code, and what the bare engine makes of such graphs.

    python tests/hostile_bundles.py SEED COUNT

tries COUNT of them and prints JSON: how many were refused, and how many gave the words of the sound
bundle. Anything else ends it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / part) for part in (".", "runtime"))]

from hostile_photos import mutation  # noqa: E402

TINY = HERE / "data" / "tiny.edgecap"
STRANGE = ("../out", "/absolute", "ENCODER.TFLITE", "manifest.json", "x", "a/b", "\0", "con")


class Wrong(Exception):
    """A bundle that was neither refused in one line nor gave the same words."""


def members() -> dict[str, bytes]:
    """The content of the tiny bundle."""
    return {path.name: path.read_bytes() for path in sorted(TINY.iterdir())}


def mutated(count: int, seed: int, folder: Path) -> Iterator[Path]:
    """Writes `count` bundles, the same for the same seed, each to be used before the next."""
    generator, sound = random.Random(seed), members()
    whole = folder / "sound.edgecap"
    write_zip(whole, sound.items())
    packed, place = whole.read_bytes(), folder / "mutated.edgecap"
    for index in range(count):
        if place.is_dir():
            shutil.rmtree(place)
        if index % 3 == 0:
            place.write_bytes(mutation(packed, generator, [packed]))
        elif index % 3 == 1:
            place.unlink()
            write_folder(place, sound, generator)
        else:
            write_zip(place, rearranged(sound, generator))
        yield place
    if place.is_file():
        place.unlink()


def write_zip(path: Path, content: Iterable[tuple[str, bytes]]) -> None:
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    ):
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in content:
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def write_folder(place: Path, sound: dict[str, bytes], generator: random.Random) -> None:
    """A folder with one member broken."""
    broken = generator.choice(sorted(sound))
    place.mkdir()
    for name, content in sound.items():
        if name == broken:
            content = mutation(content, generator, list(sound.values()))
        (place / name).write_bytes(content)


def rearranged(sound: dict[str, bytes], generator: random.Random) -> list[tuple[str, bytes]]:
    """Members left out, doubled, exchanged, renamed or changed a little."""
    content = list(sound.items())
    index = generator.randrange(len(content))
    name, data = content[index]
    match generator.randrange(6):
        case 0:
            del content[index]
        case 1:
            content.append((name, data + b"\0"))
        case 2:
            content[index] = (name, generator.choice(content)[1])
        case 3:
            content.append((generator.choice(STRANGE), data))
        case 4:
            content[index] = (generator.choice(STRANGE), data)
        case _:
            broken = bytearray(data)
            broken[generator.randrange(len(broken))] ^= 1 << generator.randrange(8)
            content[index] = (name, bytes(broken))
    return content


def check(seed: int, count: int) -> dict[str, int]:
    """Tries `count` mutated bundles.

    Raises:
        Wrong: for the first that does any harm.
    """
    from shapes import gallery

    from edgecap.errors import BundleError, EngineError
    from edgecap_runtime import Captioner

    picture = gallery()[0][1]
    expected = Captioner.load(TINY, threads=1).caption(picture)
    found = {"refused": 0, "same": 0}
    with tempfile.TemporaryDirectory(prefix="edgecap-bundles-") as name:
        for index, path in enumerate(mutated(count, seed, Path(name))):
            try:
                said = Captioner.load(path, threads=1).caption(picture)
            except (BundleError, EngineError) as error:
                if "\n" in str(error):
                    raise Wrong(f"{seed}-{index}: {error}") from error
                found["refused"] += 1
                continue
            if (said.text, said.log_probability) != (expected.text, expected.log_probability):
                raise Wrong(f"{seed}-{index}: {said.text!r}, expected {expected.text!r}")
            found["same"] += 1
    return found


def engine_alone(seed: int, count: int) -> dict[str, int]:
    """What the engine says of graphs with one bit flipped, without edgecap: each in a process."""
    from edgecap_runtime.interpreter import find_engine

    engine, generator = find_engine(), random.Random(seed)
    graphs = [content for name, content in members().items() if name.endswith(".tflite")]
    found = {"loaded": 0, "refused": 0, "crashed": 0}
    for _ in range(count):
        content = bytearray(generator.choice(graphs))
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                engine.interpreter(model_content=bytes(content)).allocate_tensors()
            except BaseException:
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found["crashed" if status < 0 else "refused" if status else "loaded"] += 1
    return found


if __name__ == "__main__":
    print(json.dumps(check(int(sys.argv[1]), int(sys.argv[2]))))
