"""`edgecap convert`, from drawn pictures to a bundle that the runtime runs."""

import dataclasses
import importlib
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapes import gallery, write_corpus

from edgecap.bundle import Bundle
from edgecap.datasets import load_dataset
from edgecap.errors import ConversionError, EdgecapError, UsageError
from edgecap.manifest import Measured
from edgecap_converter import conversion, quantization
from edgecap_converter.conversion import Conversion, convert
from edgecap_converter.encoder_weights import FOLDER_VARIABLE
from edgecap_converter.features import cached_features
from edgecap_converter.model import Model
from edgecap_converter.plan import Plan
from edgecap_converter.verify import require_quality

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "data"))

import interrupted_conversion  # noqa: E402
from make_tiny_bundle import keras_captions, tiny_conversion  # noqa: E402

ROOT = HERE.parent
PACKAGES = os.pathsep.join(str(ROOT / p) for p in (".", "runtime", "converter", "tests/data"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "shapes", train=100, dev=20)


def _request(corpus: Path, folder: Path) -> Conversion:
    request = tiny_conversion(corpus, folder / "shapes.edgecap", folder / "work")
    plan = request.plan.changed({"training.epochs": 4, "training.batch": 25})
    return dataclasses.replace(request, plan=plan, calibration_photos=32)


@pytest.fixture(scope="module")
def converted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    """A conversion that is done."""
    request = _request(corpus, tmp_path_factory.mktemp("converted"))
    convert(request)
    return request


def test_one_expected_text_two_programs_keras() -> None:
    expected = json.loads((HERE / "data" / "tiny.json").read_text())
    said = keras_captions(HERE / "data" / "tiny.npz", [picture for _, picture in gallery()])
    assert dict(zip(expected, said, strict=True)) == expected


def test_the_bundle_says_what_it_is(converted: Conversion) -> None:
    bundle = Bundle.open(converted.output)
    manifest = bundle.manifest
    assert (manifest.origin.encoder, manifest.origin.decoder) == ("tiny", "attention")
    assert manifest.origin.settings["training_epochs"] == 4
    assert manifest.measured is not None
    assert (manifest.measured.split, manifest.measured.photos) == ("dev", 20)
    assert manifest.measured.same_captions >= 15
    assert manifest.measured.bundle["bleu_1"] > manifest.measured.constant_caption["bleu_1"]
    # By hand: 3 x 3 convolutions to 16, 32 and 48 channels on 16 x 16, 8 x 8 and 4 x 4 positions,
    # then the projection of 16 positions, and the state.
    convolutions = 16 * 16 * 16 * 27 + 8 * 8 * 32 * 9 * 16 + 4 * 4 * 48 * 9 * 32
    projection = 16 * (48 * 32 + 32 * 32) + 32 * 128
    assert manifest.encoder.multiply_accumulates == convolutions + projection
    for part in ("## Licence", "## Data", "100 photos", "## Measured quality", "## Known failures"):
        assert part in manifest.model_card


def test_nothing_is_left_but_caches_and_checkpoints(converted: Conversion) -> None:
    assert [path.name for path in converted.output.parent.iterdir() if path.name[0] == "."] == []
    names = sorted(path.name.split("-")[0] for path in converted.work.iterdir())
    assert set(names) == {"features", "training"}


def test_each_stage_goes_on_from_the_one_before_it(converted: Conversion, tmp_path: Path) -> None:
    plan = converted.plan.changed(
        {
            "fine_tuning.epochs": 1, "fine_tuning.photos": 20, "fine_tuning.averaging": 0.5,
            "sequence.epochs": 1, "sequence.photos": 20, "sequence.averaging": 0.5,
            "rehearsal.epochs": 1, "rehearsal.batch": 25,
        }
    )  # fmt: skip
    # The first stage is the same, and found done.
    work = tmp_path / "work"
    shutil.copytree(converted.work, work)
    output = tmp_path / "staged.edgecap"
    manifest = convert(dataclasses.replace(converted, plan=plan, output=output, work=work))
    stages = ("training", "fine_tuning", "sequence", "rehearsal")
    models = [Model.load(*work.glob(f"{stage}-*/model.npz")) for stage in stages]
    for before, after in itertools.pairwise(models):
        assert before.configuration.training.items() < after.configuration.training.items()
        changed = [
            any((a != b).any() for a, b in zip(old.get_weights(), new.get_weights(), strict=True))
            for old, new in zip(before.models, after.models, strict=True)
        ]
        # The encoder learns in the second stage alone; embedding, cell and head always do.
        assert changed[0] == ("sequence_epochs" not in after.configuration.training)
        assert all(changed[2:])
    assert manifest.origin.settings["rehearsal_share"] == plan.rehearsal.share
    # Through the encoder that learned: train and dev photos as they are, and mirror images.
    features = [len(list(folder.glob("features-*.npy"))) for folder in (converted.work, work)]
    assert features[1] - features[0] == 3


def test_a_conversion_killed_in_training_and_resumed_gives_the_same_bundle(
    converted: Conversion, corpus: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; import test_convert, edgecap_converter.conversion\n"
        "edgecap_converter.conversion.convert("
        "test_convert._request(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    command = [sys.executable, "-u", "-c", code, str(corpus), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((PACKAGES, str(HERE)))}
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("training 2/4: dev"):
            break
    child.send_signal(signal.SIGKILL)
    child.stderr.read()
    child.stderr.close()
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "shapes.edgecap").exists()

    resumed = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=600
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "going on after epoch" in resumed.stderr
    again = Bundle.open(tmp_path / "shapes.edgecap")
    assert again.manifest.sha256 == Bundle.open(converted.output).manifest.sha256


def test_a_checkpoint_compressed_anew_gives_the_same_graphs(
    converted: Conversion, tmp_path: Path
) -> None:
    (checkpoint,) = converted.work.glob("training-*/model.npz")
    output = tmp_path / "shapes.edgecap"
    request = dataclasses.replace(
        converted, checkpoint=checkpoint, output=output, work=tmp_path / "work", as_zip=True
    )
    convert(request)
    assert output.is_file()
    assert Bundle.open(output).manifest == Bundle.open(converted.output).manifest


@pytest.mark.parametrize("decoder", ["attention", "lstm", "merge"])
def test_float_graphs_give_the_words_of_the_keras_model(
    corpus: Path, tmp_path: Path, decoder: str
) -> None:
    request = _request(corpus, tmp_path)
    request = dataclasses.replace(
        request,
        plan=request.plan.changed({"decoder": decoder, "size.features": request.plan.size.hidden}),
        encoder_compression="none",
        decoder_compression="none",
    )
    measured = convert(request).measured
    assert measured is not None
    assert measured.same_captions == measured.photos


def test_a_bundle_that_lost_too_much_is_refused(
    converted: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkpoint,) = converted.work.glob("training-*/model.npz")
    output = tmp_path / "refused.edgecap"
    request = dataclasses.replace(
        converted, checkpoint=checkpoint, output=output, maximum_quality_loss=0.0
    )

    def better(search: object, features: np.ndarray) -> list[str]:  # noqa: ARG001
        lines = (converted.data / "Flickr8k.token.txt").read_text().splitlines()
        return [line.split("\t")[1] for line in lines[100 * 5 :: 5]]

    monkeypatch.setattr(conversion.GreedySearch, "captions", better)
    with pytest.raises(ConversionError, match=r"more than 0\.0 points lost"):
        convert(request)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_exporting_leaves_nothing(
    converted: Conversion, tmp_path: Path
) -> None:
    (checkpoint,) = converted.work.glob("training-*/model.npz")
    output = tmp_path / "full.edgecap"
    request = dataclasses.replace(converted, checkpoint=checkpoint, output=output)
    before = sorted(converted.work.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a full disk, a write fails half-way.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ConversionError, match=r"cannot write .*: free space") as caught:
            convert(request)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert sorted(converted.work.iterdir()) == before


@pytest.mark.parametrize(
    ("room", "complaint"), [("100k", "cannot keep features in"), ("250k", "cannot write")]
)
def test_a_small_disk_is_one_line(corpus: Path, tmp_path: Path, room: str, complaint: str) -> None:
    """On a real one, of this size, which only the command sees."""
    (tmp_path / "disk").mkdir()
    script = (
        'mount -t tmpfs -o size="$0" none "$1" && shift && "$@"; status=$?; find disk; exit $status'
    )
    command = [sys.executable, interrupted_conversion.__file__, corpus, "disk"]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, room, "disk",
         *command],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    if "unshare: " in done.stderr or "mount: " in done.stderr:
        pytest.skip(f"no mounts of its own for a process here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"edgecap: {complaint}")
    assert "No space left" in line
    assert "Traceback" not in done.stderr
    names = [Path(name).name for name in done.stdout.splitlines()]
    assert "work" in names
    assert not [name for name in names if name[0] == "." or name.endswith((".partial", ".edgecap"))]


STAGES = (
    ("edgecap_converter.conversion", "load_dataset"),
    ("edgecap_converter.stages", "cached_features"),
    ("edgecap_converter.stages", "train_decoder"),
    ("edgecap_converter.export", "export_encoder"),
    ("edgecap_converter.export", "count_weights"),
    ("edgecap.storage", "os.fsync"),
    ("edgecap_converter.conversion", "measure"),
)


def test_interrupted_in_every_stage(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    graphs: dict[str, bytes] = {}
    convert_saved_model = quantization.convert_saved_model

    def convert_once(saved: Path, signature: str, *others: Any) -> bytes:
        """Each graph takes its process seconds."""
        if signature not in graphs:
            graphs[signature] = convert_saved_model(saved, signature, *others)
        return graphs[signature]

    monkeypatch.setattr(quantization, "convert_saved_model", convert_once)
    for module, name in STAGES:
        *path, last = name.split(".")
        place = importlib.import_module(module)
        for part in path:
            place = getattr(place, part)
        original, calls = getattr(place, last), []

        def interrupting(
            *given: Any, _called: Any = original, _calls: Any = calls, **named: Any
        ) -> Any:
            _calls.append(None)
            os.kill(os.getpid(), signal.SIGINT)
            return _called(*given, **named)

        with monkeypatch.context() as patch:
            patch.setattr(place, last, interrupting)
            assert interrupted_conversion.main(corpus, tmp_path) == 130, name
        assert calls, name
        assert capfd.readouterr().err.splitlines()[-1] == "edgecap: interrupted"
        assert {path.name for path in tmp_path.iterdir()} <= {"work"}
        assert interrupted_conversion.left_over(tmp_path) == [], name
    assert interrupted_conversion.main(corpus, tmp_path) == 0
    assert Bundle.open(tmp_path / "shapes.edgecap").manifest.measured is not None
    assert interrupted_conversion.left_over(tmp_path) == []


def test_interrupted_while_another_process_converts(corpus: Path, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, interrupted_conversion.__file__, corpus, tmp_path],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("exporting the encoder"):
            break
    time.sleep(2)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does it
    assert child.stderr.readlines() == ["edgecap: interrupted\n"]
    child.stderr.close()
    assert child.wait() == 130
    assert {path.name for path in tmp_path.iterdir()} == {"work"}
    assert interrupted_conversion.left_over(tmp_path) == []


def test_a_note_that_a_killed_run_left_empty(corpus: Path, tmp_path: Path) -> None:
    model = Model.load(HERE / "data" / "tiny.npz")
    paths = [photo.path for photo in load_dataset(corpus)][:40]
    asked = (model.encoder, model.network, "hash", paths, tmp_path)
    whole = np.array(cached_features(*asked))
    (place,) = tmp_path.iterdir()
    place.rename(place.with_suffix(".partial"))
    place.with_suffix(".done").touch()
    np.testing.assert_array_equal(cached_features(*asked), whole)
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


@pytest.mark.parametrize(
    ("encoder", "decoder"), [("quantize", "none"), ("none", "quantize:full-int8")]
)
def test_an_empty_calibration_set_is_refused_before_any_training(
    converted: Conversion, tmp_path: Path, encoder: str, decoder: str
) -> None:
    request = dataclasses.replace(
        converted, work=tmp_path / "work", output=tmp_path / "empty.edgecap", calibration_photos=0,
        encoder_compression=encoder, decoder_compression=decoder,
    )  # fmt: skip
    with pytest.raises(ConversionError, match="needs calibration photos, there are none") as caught:
        convert(request)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_quality_loss_is_float_minus_bundle() -> None:
    def measured(before: float, after: float) -> Measured:
        return Measured("dev", 1, "greedy", {"cider": before}, {"cider": after}, {}, 0)

    require_quality(measured(40.0, 39.1), maximum_loss=1.0)
    require_quality(measured(40.0, 45.0), maximum_loss=0.0)
    with pytest.raises(
        ConversionError,
        match=r"CIDEr on dev is 38\.9, its float model's 40\.0.*--max-quality-loss 2$",
    ):
        require_quality(measured(40.0, 38.9), maximum_loss=1.0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"plan": Plan(encoder="vgg99")}, "no encoder 'vgg99'"),
        ({"plan": Plan(encoder="tiny", decoder="transformer")}, "no decoder 'transformer'"),
        ({"encoder_compression": "zip"}, "no encoder compression 'zip'"),
        ({"decoder_compression": "zip"}, "no decoder compression 'zip'"),
        ({"data": Path("nowhere")}, "nowhere"),
        ({"plan": Plan(encoder="tiny", minimum_count=10_000)}, "no word occurs 10000 times"),
        ({"checkpoint": Path("nowhere.npz")}, "no checkpoint at nowhere.npz"),
    ],
)
def test_what_cannot_be_converted(
    corpus: Path, tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    request = dataclasses.replace(_request(corpus, tmp_path), **change)
    with pytest.raises(EdgecapError, match=complaint) as caught:
        convert(request)
    assert "\n" not in str(caught.value)
    assert not request.output.exists()


def test_a_checkpoint_of_another_architecture(converted: Conversion, tmp_path: Path) -> None:
    (checkpoint,) = converted.work.glob("training-*/model.npz")
    model = Model.load(checkpoint)
    other = dataclasses.replace(
        model.configuration, size=dataclasses.replace(model.configuration.size, hidden=32)
    )
    dataclasses.replace(model, configuration=other).save(tmp_path / "other.npz")
    with pytest.raises(ConversionError, match="of another architecture"):
        Model.load(tmp_path / "other.npz")
    (tmp_path / "broken.npz").write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(ConversionError, match="not a readable checkpoint"):
        Model.load(tmp_path / "broken.npz")
    with pytest.raises(UsageError, match="no checkpoint"):
        Model.load(tmp_path / "none.npz")


def _edgecap(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgecap", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, check=False, timeout=900,
        env={**os.environ, "PYTHONPATH": PACKAGES},
    )  # fmt: skip


@pytest.mark.skipif(not os.environ.get(FOLDER_VARIABLE), reason=f"{FOLDER_VARIABLE} is not set")
def test_from_the_command_line_with_a_real_encoder(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "shapes", train=400, dev=20)
    small = "--features 32 --attention 32 --embedding 32 --hidden 64 --epochs 12 --batch 50"
    done = _edgecap(
        "convert", "--data", corpus, "--output", "real.edgecap", "--preset", "frozen",
        "--encoder", "mobilenet_v2_0.35",
        *small.split(), "--learning-rate", 0.01, "--max-words", 11, "--calibration-photos", 20,
        "--max-quality-loss", 100, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("real.edgecap: CIDEr ")
    assert "expected on" in done.stderr
    picture = tmp_path / "red circle.png"
    dict(gallery())["red circle"].save(picture)
    said = _edgecap("caption", picture, "--bundle", "real.edgecap", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "red" in said.stdout
    assert "on a black background" in said.stdout
    shown = _edgecap("inspect", "real.edgecap", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "mobilenet_v2_0.35" in shown.stdout

    again = _edgecap("convert", "--data", corpus, "--output", "real.edgecap", cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "add --force" in again.stderr
