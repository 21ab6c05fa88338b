"""edgecap beside its peers: environments, parameter counts, turns, and the page.

No peer is installed here: the systems that really run are edgecap with the tiny bundle, in the
environment of the tests.
"""

import ast
import dataclasses
import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from shapes import write_corpus

from edgecap.errors import ConversionError, UsageError
from edgecap_bench.conditions import Conditions, Machine
from edgecap_bench.heat import Heat
from edgecap_bench.latency import Distribution
from edgecap_bench.report import Size, Sizes
from paper.record import Agreement, Failed, read_as, write
from paper.timing import Plan
from peers import __main__ as command
from peers import environments, systems, timing
from peers.architectures import SMOLVLM, VIT_GPT2, architectures, gpt2, llama, parameters
from peers.architectures import vision_transformer as vit
from peers.child import BUNDLE
from peers.environments import Environment, Recipe, find_python, recipes
from peers.goals import goals
from peers.page import as_markdown
from peers.record import Measured, Record, Timing
from peers.systems import ONNX_INT8, OURS, Peer, System

ROOT = Path(__file__).resolve().parent.parent
HERE = Environment(Path(sys.executable), version="here", installed_bytes=1_000)


# Environments


def test_every_distribution_is_pinned_once() -> None:
    for name, recipe in recipes().items():
        pins = [Requirement(one) for one in recipe.requirements]
        names = [canonicalize_name(one.name) for one in pins]
        assert len(set(names)) == len(names), name
        assert all(re.fullmatch(r"==[\w.+]+", str(one.specifier)) for one in pins), name
        assert recipe.extends is None or recipe.extends in recipes()


def test_the_environment_of_edgecap_is_what_its_installation_asks_for() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = (\[.*?^\])", project, re.MULTILINE | re.DOTALL)
    assert listed
    pins = {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in map(Requirement, recipes()["litert"].requirements)
    }
    device = {
        "sys_platform": "linux", "platform_machine": "x86_64",
        "python_version": environments.PYTHON,
    }  # fmt: skip
    asked = [Requirement(one) for one in ast.literal_eval(listed[1])]
    asked = [one for one in asked if one.marker is None or one.marker.evaluate(device)]
    assert {one.name for one in asked} == {"click", "pillow", "numpy", "ai-edge-litert"}
    for one in asked:
        assert pins[one.name] in one.specifier


def test_every_peer_has_its_environment(tmp_path: Path) -> None:
    every = systems.peers((), tmp_path, "python")
    assert {one.environment for one in every} <= recipes().keys()
    assert {OURS, ONNX_INT8, VIT_GPT2} <= {one.name for one in every}
    assert not list(tmp_path.iterdir()), "nothing is made before it is needed"


def a_wheel(folder: Path, name: str, version: str, size: int) -> str:
    """A wheel with one module of so many bytes, which says its version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    code = f"VERSION = '{version}'\n"
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", code + "#" * (size - len(code)))
        file.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        file.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{information}/RECORD", "")
    return str(path)


@pytest.fixture
def cook(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the recipes."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    def set_recipes(**requirements: tuple[str | None, tuple[str, ...]]) -> None:
        made = {
            name: Recipe("for a test", False, extends, None, wanted)
            for name, (extends, wanted) in requirements.items()
        }
        monkeypatch.setattr(environments, "recipes", lambda: made)

    return set_recipes


def test_an_environment_is_made_once_and_anew_when_its_recipe_changes(
    tmp_path: Path, cook: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    old, new = (a_wheel(tmp_path, "peer", version, 50_000) for version in ("1.0", "2.0"))
    above = a_wheel(tmp_path, "above", "1.0", 70_000)

    def made(peer: str) -> Environment:
        cook(low=(None, (peer,)), high=("low", (above,)))
        return environments.make("high", tmp_path, sys.executable)

    first = made(old)
    assert capfd.readouterr().err.count("making ") == 2
    # It sees what it extends, which is counted, and nothing of this environment.
    assert first.run("above") is None
    assert first.run("peer") is None
    assert "No module named pytest" in str(first.run("pytest"))
    assert 120_000 < first.installed_bytes < 200_000
    site = next((tmp_path / "environments" / "low").glob("lib/python*/site-packages"))
    assert not list(site.glob("pip*"))

    assert made(old) == first
    assert not capfd.readouterr().err
    assert made(new).version != first.version
    assert "VERSION = '2.0'" in (site / "peer.py").read_text()


def test_an_environment_that_was_not_finished_is_made_anew(
    tmp_path: Path, cook: Callable[..., None]
) -> None:
    missing = tmp_path / "peer-1.0-py3-none-any.whl"
    cook(low=(None, (str(missing),)))
    with pytest.raises(ConversionError, match=r"^the environment low could not be made \(.*peer"):
        environments.make("low", tmp_path, sys.executable)
    a_wheel(tmp_path, "peer", "1.0", 50_000)
    assert environments.make("low", tmp_path, sys.executable).run("peer") is None


def test_edgecap_is_counted_where_it_runs_without_its_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "_fill", lambda *_: None)
    sizes = {
        name: environments.make(name, tmp_path, sys.executable).installed_bytes
        for name in ("litert", "onnxruntime")
    }
    ours = sizes["litert"] - sizes["onnxruntime"]
    # Its sources; the bundle alone has 8 MB.
    assert 300_000 < ours < 3_000_000


def a_python(path: Path, version: str) -> str:
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return str(path)


def test_a_python_of_the_right_version_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = a_python(tmp_path / f"python{environments.PYTHON}", environments.PYTHON)
    wrong = a_python(tmp_path / "python", "3.99")
    assert find_python(right) == right
    for named in (wrong, str(tmp_path / "none")):
        with pytest.raises(UsageError, match=f"expected a Python {environments.PYTHON}, {named}"):
            find_python(named)
    monkeypatch.setattr(sys, "executable", wrong)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_python(None) == right


# Architectures


def test_parameters_are_those_published() -> None:
    # Dosovitskiy et al. (2021), table 1: 86 million; timm counts 85,798,656 without a head.
    vision = architectures()[VIT_GPT2].vision
    class_token = 2 * vision["hidden_size"]  # type: ignore[operator]
    assert vit(vision) + class_token == 85_798_656
    # GPT-2 small as it is published; the paper says 117 million, its file holds these.
    assert gpt2(architectures()[VIT_GPT2].text, cross_attention=False) == 124_439_808
    # SmolLM2-135M has 134,515,008, with 49,152 words.
    text = architectures()[SMOLVLM].text
    assert llama({**text, "vocab_size": 49_152}) == 134_515_008
    # The announcement of SmolVLM-256M: a vision encoder of 93 million, its connector with it.
    smolvlm = architectures()[SMOLVLM]
    connector = 768 * 16 * 576
    assert round((vit(smolvlm.vision) + connector) / 1e6, 1) == 93.5
    assert parameters(SMOLVLM) == 256_484_928


def test_vit_gpt2_is_the_sum_of_its_parts() -> None:
    pooler = 768 * 768 + 768
    cross_attention = 12 * (4 * 768 * 768 + 6 * 768)
    assert parameters(VIT_GPT2) == 85_798_656 + pooler + 124_439_808 + cross_attention
    # What is published are 982 MB: these in float32, and in each layer two masks of 1,024 x 1,024.
    masks = 2 * 12 * 1_024 * 1_024
    assert (4 * parameters(VIT_GPT2) + masks) / 1e6 == pytest.approx(982, abs=0.1)


# Turns

PLAN = Plan(threads=1, rounds=2, warm_up=1)


def system(name: str, path: Path, is_same_model: bool = True) -> System:
    peer = Peer(name, "a bundle", "litert", BUNDLE, False, None, lambda: (path,), is_same_model)
    return System(peer, HERE, (path,))


def test_systems_take_turns_in_processes_of_their_own(tiny: Path, photos: list[Path]) -> None:
    chosen = [system(OURS, tiny), system("twin", tiny), system("stranger", tiny, False)]
    found = timing.measure(chosen, photos[:2], PLAN)
    assert (found.photos, found.rounds, found.warm_up, found.words) == (2, 2, 1, 12)
    ours, twin, stranger = found.systems
    for one in (ours, twin, stranger):
        assert isinstance(one, Measured), one
        assert len(one.words) == 12
        # A process and its imports take longer than a photo of a tiny network.
        assert one.cold_start_ms.minimum > one.photo_ms.median > 0
        # numpy and an engine take tens of megabytes, TensorFlow hundreds.
        assert 20e6 < one.peak_memory_bytes < 200e6
        assert one.engine.startswith("ai-edge-litert")
        assert one.installed_bytes == HERE.installed_bytes
    assert isinstance(twin, Measured)
    assert twin.agreement == Agreement(OURS, 0.0, 0.0, systems.BOUND)
    assert twin.same_captions == 2
    for one in (ours, stranger):
        assert isinstance(one, Measured)
        assert one.agreement is one.same_captions is None


def test_a_system_that_fails_does_not_stop_the_others(
    tiny: Path, photos: list[Path], tmp_path: Path
) -> None:
    gone, good = system("gone", tmp_path / "gone.edgecap"), system(OURS, tiny)
    first, second = timing.measure([gone, good], photos[:1], PLAN).systems
    assert isinstance(first, Failed)
    assert "gone.edgecap" in first.error
    assert isinstance(second, Measured)


def test_without_edgecap_nothing_is_held_against_it(
    tiny: Path, photos: list[Path], tmp_path: Path
) -> None:
    chosen = [system(OURS, tmp_path / "gone.edgecap"), system("twin", tiny)]
    plan = dataclasses.replace(PLAN, rounds=1)
    ours, twin = timing.measure(chosen, photos[:1], plan).systems
    assert isinstance(ours, Failed)
    assert isinstance(twin, Measured)
    assert twin.agreement is twin.same_captions is None


def fake_run(answers: Iterator[dict[str, object]], asked: list[dict[str, object]]) -> object:
    """Stands for the child: writes the next answer, and outputs of the length that it names."""
    import numpy as np

    def run(_: Environment, _module: str, request: Path, answer: Path, _begin: float) -> None:
        wanted = json.loads(request.read_bytes())
        asked.append(wanted)
        fixed = {"cold_start_ms": 9.0, "peak_memory_bytes": 7, "engine": "none 1"}
        given = {"photo_ms": 2.0, "length": 1.0, **next(answers)}
        length = given.pop("length")
        if wanted["outputs"]:
            np.savez(wanted["outputs"], features=np.full(4, length), scores=np.arange(3.0))
        answer.write_text(json.dumps({**fixed, **given}))

    return run


def test_a_rehearsal_has_one_photo_and_does_not_count(
    tiny: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [["a", "dog"], ["a", "cat"]]
    answers = iter(
        [
            {"said": said[:1], "photo_ms": 99.0},
            {"said": said, "photo_ms": 2.0},
            {"said": said, "photo_ms": 4.0},
        ]
    )
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(Environment, "run", fake_run(answers, asked))
    (found,) = timing.measure([system(OURS, tiny)], photos[:2], PLAN).systems
    assert isinstance(found, Measured)
    assert found.photo_ms == Distribution.of([2.0, 4.0])
    shape = [(len(one["photos"]), one["warm_up"], bool(one["outputs"])) for one in asked]  # type: ignore[arg-type]
    assert shape == [(1, 0, True), (2, 1, False), (2, 1, False)]


def test_other_words_in_a_later_round_are_an_error(
    tiny: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = [[["dog"]], [["dog"], ["cat"]], [["dog"], ["cow"]]]
    monkeypatch.setattr(Environment, "run", fake_run(iter({"said": one} for one in rounds), []))
    (found,) = timing.measure([system(OURS, tiny)], photos[:2], PLAN).systems
    assert isinstance(found, Failed)
    assert "other words in another process" in found.error


@pytest.mark.parametrize(("length", "is_measured"), [(1.1, True), (1.2, False)])
def test_outputs_too_far_from_ours_are_an_error(
    tiny: Path,
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    length: float,
    is_measured: bool,
) -> None:
    lengths = [1.0, length] * 3
    answers = iter({"said": [["dog"]], "length": one} for one in lengths)
    monkeypatch.setattr(Environment, "run", fake_run(answers, []))
    chosen = [system(OURS, tiny), system("other", tiny)]
    _, found = timing.measure(chosen, photos[:1], PLAN).systems
    if is_measured:
        assert isinstance(found, Measured)
        assert found.agreement is not None
        assert found.agreement.features == pytest.approx(0.1)
    else:
        assert isinstance(found, Failed)
        assert f"away from those of {OURS}: expected at most 0.15" in found.error


@pytest.mark.parametrize(("same", "is_measured"), [(3, True), (2, False)])
def test_other_words_from_the_same_graphs_are_an_error(
    tiny: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, same: int, is_measured: bool
) -> None:
    ours, other = [["dog"]] * 5, [["dog"]] * same + [["cat"]] * (5 - same)
    asked = [ours[:1], other[:1], *[ours, other] * PLAN.rounds]
    monkeypatch.setattr(Environment, "run", fake_run(iter({"said": one} for one in asked), []))
    chosen = [system(OURS, tiny), system("other", tiny)]
    _, found = timing.measure(chosen, [photos[0]] * 5, PLAN).systems
    if is_measured:
        assert isinstance(found, Measured)
        assert found.same_captions == same
    else:
        assert isinstance(found, Failed)
        assert found.error == f"2 of 5 captions have the words of {OURS}: expected 60 % or more"


# Record, goals and page


def measured(name: str, milliseconds: float, megabytes: float, memory: int) -> Measured:
    size = int(megabytes * 1e6)
    return Measured(
        name=name,
        title=f"the system {name}",
        environment="litert",
        engine="engine 1.0",
        random_weights=name == VIT_GPT2,
        parameters=parameters(name) if name == VIT_GPT2 else None,
        sizes=Sizes({"model": Size(size, size // 2)}, size, size // 2),
        installed_bytes=100_000_000,
        photo_ms=Distribution.of([milliseconds]),
        cold_start_ms=Distribution.of([10 * milliseconds]),
        peak_memory_bytes=memory * 1_000_000,
        agreement=Agreement(OURS, 0.061, 0.042, 0.15) if name == ONNX_INT8 else None,
        same_captions=17 if name == ONNX_INT8 else None,
        words=("a",) * 12,
    )


NO_HEAT = Heat(None, None, None, None)
QUIET = Conditions(
    machine=Machine("a processor", "x86", 2, "an OS", "3.11.7", "0.1", "2.4", "13.0", 0.1),
    distribution="an edition",
    features=("avx2", "fma"),
    governor=None,
    commit="abc",
    before=NO_HEAT,
    after=NO_HEAT,
    load_average_after=2.0,
    other_cores=0.01,
    warnings=(),
)
FULL = Record(
    timing=Timing(
        conditions=QUIET,
        python="3.11",
        threads=2,
        words=12,
        photos=20,
        rounds=5,
        warm_up=3,
        systems=(
            measured(OURS, 10.0, 8.4, 70),
            measured(ONNX_INT8, 15.0, 8.3, 90),
            measured(VIT_GPT2, 490.0, 957.0, 1_800),
            Failed(SMOLVLM, "another model", "no | memory"),
        ),
    )
)


def test_a_record_is_read_back(tmp_path: Path) -> None:
    place = tmp_path / "peers.json"
    assert read_as(place, Record()) == Record()
    write(place, FULL)
    assert read_as(place, Record()) == FULL
    place.write_text(place.read_text().replace("edgecap-peers", "edgecap-paper"))
    with pytest.raises(UsageError, match="expected edgecap-peers 1, found edgecap-paper"):
        read_as(place, Record())


def test_goals_are_ratios_of_one_run() -> None:
    found = [(one.measured, one.reached) for one in goals(FULL)]
    assert found == [
        ("1.50 times faster", True),
        ("49.00 times faster", False),
        ("113.93 times smaller", True),
        ("25.71 times less", True),
    ]


def test_goals_without_a_measurement_are_not_reached() -> None:
    assert FULL.timing is not None
    without = dataclasses.replace(FULL.timing, systems=FULL.timing.systems[1:])
    for record in (Record(), Record(timing=without)):
        assert [(one.measured, one.reached) for one in goals(record)] == [(None, False)] * 4


def test_the_page_says_all_of_it() -> None:
    page = "\n".join(as_markdown(FULL))
    assert "| edgecap-litert | the system edgecap-litert | trained | engine 1.0 | 10.00 | " in page
    assert "random, 239.2 million" in page
    assert r"| smolvlm-256m | another model | not measured: no \| memory |" in page
    assert "| vit-gpt2 | 49.00 | 49.00 | 25.71 | 113.93 | 113.93 | 1.00 |" in page
    assert "| onnxruntime-int8 | 6.10 % | 4.20 % | 17 of 20 |" in page
    assert "no quality is claimed" in page
    assert "a processor (x86: avx2 fma), 2 cores, governor unknown; an edition, an OS" in page
    assert "**x86: these times say nothing about a Raspberry Pi.**" in page
    assert "49.00 times faster | **no** |" in page
    assert "isturbed" not in page
    assert len({line.count("|") for line in page.splitlines() if "the system" in line}) == 1


def test_a_disturbed_run_says_so_twice() -> None:
    assert FULL.timing is not None
    busy = dataclasses.replace(QUIET, warnings=("other work took 0.50 cores",))
    timed = dataclasses.replace(FULL.timing, conditions=busy)
    page = "\n".join(as_markdown(Record(timing=timed)))
    assert "**Disturbed: other work took 0.50 cores.**" in page
    assert "**From a disturbed run**" in page


def test_the_page_without_a_measurement() -> None:
    page = "\n".join(as_markdown(Record()))
    assert "Not measured." in page
    assert page.count("| not measured | not measured |") == 4


# The command


def run(*arguments: object) -> int:
    return command.main([str(one) for one in arguments])


def test_the_page_is_written_from_the_record(tmp_path: Path) -> None:
    write(tmp_path / "peers.json", FULL)
    before = hashlib.sha256((tmp_path / "peers.json").read_bytes()).digest()
    assert run("page", "--output", tmp_path) == 0
    assert (tmp_path / "peers.md").read_text() == "\n".join(as_markdown(FULL)) + "\n"
    assert hashlib.sha256((tmp_path / "peers.json").read_bytes()).digest() == before


def test_a_peer_that_cannot_be_made_does_not_stop_the_others(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_corpus(tmp_path / "corpus", train=2, dev=3)

    def refuse() -> tuple[Path, ...]:
        raise ConversionError("no room for it")

    good = system(OURS, tiny).peer
    bad = dataclasses.replace(good, name="bad", make=refuse)
    monkeypatch.setattr(command, "peers", lambda *_: [bad, good])
    monkeypatch.setattr(environments, "make", lambda *_: HERE)
    monkeypatch.setattr(environments, "find_python", lambda _: sys.executable)
    options = ("--data", data, "--output", tmp_path, "--work", tmp_path / "work")
    assert run(*options, "--photos", 2, "--rounds", 1, "--warm-up", 1) == 1
    assert "edgecap: bad: no room for it" in capfd.readouterr().err
    found = read_as(tmp_path / "peers.json", Record()).timing
    assert found is not None
    assert [(one.name, type(one)) for one in found.systems] == [(OURS, Measured), ("bad", Failed)]
    assert "not measured: no room for it" in (tmp_path / "peers.md").read_text()


@pytest.mark.parametrize(
    "arguments", [("bake",), ("--rounds", "0"), ("--photos", "2", "--warm-up", "3")]
)
def test_wrong_usage_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2


def test_an_unknown_system_is_refused(tmp_path: Path) -> None:
    every = systems.peers((), tmp_path, "python")
    with pytest.raises(UsageError, match=r"^--only onnx: expected one of edgecap-litert, "):
        command.wanted(every, ["onnx"])
    (one,) = command.wanted(every, [OURS])
    assert one.name == OURS
    assert command.wanted(every, None) == every
