"""Each half pruned, quantized or trained with rounding: from trained weights to the files."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from shapes import write_corpus

from edgecap.bundle import Bundle
from edgecap.datasets import load_dataset, select
from edgecap.errors import ConversionError
from edgecap.manifest import ENCODER, Graph
from edgecap.sizes import member_sizes, zip_bytes
from edgecap_converter import tflite_file
from edgecap_converter.adaptation import adapts, unpacking
from edgecap_converter.compression import compress, decoder_models
from edgecap_converter.conversion import Conversion, convert
from edgecap_converter.encoders import ENCODERS, Encoder
from edgecap_converter.estimate import Estimate
from edgecap_converter.export import Exported
from edgecap_converter.fine_tuning import FineTuner
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.model import Model
from edgecap_converter.plan import Plan
from edgecap_converter.pruning import prunable
from edgecap_converter.quantization_aware import aware_decoder, aware_encoder
from edgecap_converter.recipes import DECODER_RECIPES, ENCODER_RECIPES
from edgecap_converter.stages import Corpus
from edgecap_converter.verify import run_encoder

sys.path.append(str(Path(__file__).resolve().parent / "data"))

from make_tiny_bundle import tiny_conversion

AWARE = {
    "encoder": lambda model: aware_encoder(model, np.empty((0, 32, 32, 3), np.uint8)),
    "decoder": aware_decoder,
}


def _build_blocks(side: int) -> Any:
    """What real encoders are made of, to a 4 x 4 grid of 48 features."""
    keras = import_tensorflow().keras
    layers = keras.layers
    photo = layers.Input((side, side, 3), name="normalized")
    stem = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem")(photo)
    stem = layers.ReLU(6.0, name="stem_relu")(layers.BatchNormalization(name="stem_norm")(stem))
    tensor = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(stem)
    tensor = layers.ReLU(6.0, name="depthwise_relu")(tensor)
    tensor = layers.Add(name="add")([stem, layers.Conv2D(16, 1, name="narrow")(tensor)])
    last = layers.Conv2D(48, 3, strides=4, padding="same", activation="relu", name="last")
    return keras.Model(photo, last(tensor), name="blocks")


BLOCKS = Encoder("blocks", 32, 127.0, 128.0, _build_blocks, None, "Apache-2.0")


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    """A conversion that is done, both halves quantized only."""
    folder = tmp_path_factory.mktemp("compression")
    ENCODERS[BLOCKS.name] = BLOCKS
    corpus = write_corpus(folder / "shapes", train=48, dev=8)
    request = tiny_conversion(corpus, folder / "dense.edgecap", folder / "work")
    plan = request.plan.changed(
        {
            "encoder": BLOCKS.name,
            "training.epochs": 2, "training.batch": 24,
            "encoder_retraining.epochs": 3, "encoder_retraining.steps": 3,
            "encoder_retraining.photos": 8,
            "encoder_matching.epochs": 2, "encoder_matching.photos": 8,
            "decoder_retraining.epochs": 2, "decoder_retraining.batch": 24,
            "sequence_retraining.epochs": 1, "sequence_retraining.photos": 8,
        }
    )  # fmt: skip
    request = dataclasses.replace(request, plan=plan, calibration_photos=16)
    convert(request)
    return request


def _converted(dense: Conversion, name: str, encoder: str, decoder: str) -> Path:
    """A bundle of the same trained model, compressed otherwise."""
    output = dense.output.with_name(f"{name}.edgecap")
    if not output.exists():
        convert(
            dataclasses.replace(
                dense, output=output, encoder_compression=encoder, decoder_compression=decoder
            )
        )
    return output


def _checkpoint(work: Path, stage: str) -> Path:
    (checkpoint,) = work.glob(f"{stage}-*/model.npz")
    return checkpoint


def _corpus(dense: Conversion, work: Path) -> Corpus:
    photos = load_dataset(dense.data)
    return Corpus(dense.data.name, select(photos, "train"), select(photos, "dev"), work)


def _by_sequences(dense: Conversion) -> Model:
    """The trained model, as if whole captions had been its last teacher."""
    model = Model.load(_checkpoint(dense.work, "training"))
    learned = {**model.configuration.training, "sequence_epochs": 1}
    configuration = dataclasses.replace(model.configuration, training=learned)
    return dataclasses.replace(model, configuration=configuration)


def _zeros(graph: Graph) -> dict[str, float]:
    """Share of each operation's weights that is zero."""
    assert graph.weights is not None
    return {one.operation: one.zeros / one.count for one in graph.weights}


def _int8(graph: bytes, name: str) -> npt.NDArray[np.int64]:
    """The int8 constant of that name in a TFLite file."""
    model = tflite_file.read(graph)
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if name in tensor.name.decode() and len(tensor.shape) > 1 and data is not None:
            values = np.asarray(data, np.uint8).view(np.int8).reshape(tensor.shape)
            return values.astype(np.int64)
    raise AssertionError(f"no constant {name}")


def test_a_pruned_file_has_the_zeros_in_every_kind_of_layer(dense: Conversion) -> None:
    manifest = Bundle.open(_converted(dense, "pruned", "prune:80", "prune:50")).manifest
    encoder, decoder = _zeros(manifest.encoder), _zeros(manifest.decoder)
    # The projection's convolutions and dense layer are in the encoder's file.
    assert set(encoder) == {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert encoder["CONV_2D"] == pytest.approx(0.8, abs=0.01)
    assert encoder["FULLY_CONNECTED"] == pytest.approx(0.8, abs=0.01)
    # tensorflow-model-optimization prunes no depthwise convolution, and the manifest says so.
    assert encoder["DEPTHWISE_CONV_2D"] == 0
    assert set(decoder) == {"FULLY_CONNECTED", "GATHER"}
    assert all(0 < share < 1 for share in decoder.values())  # what each can spare of one half
    weights = manifest.decoder.weights
    assert weights is not None
    together = sum(one.zeros for one in weights) / sum(one.count for one in weights)
    assert together == pytest.approx(0.5, abs=0.01)
    assert "in DEPTHWISE_CONV_2D" in manifest.model_card
    settings = manifest.origin.settings
    assert settings["encoder_pruning_sparsity"] == 0.8
    assert settings["decoder_pruning_sparsity"] == 0.5
    assert settings["encoder_pruning_steps"] == 3


def test_a_dense_file_says_that_it_is_dense(dense: Conversion) -> None:
    manifest = Bundle.open(dense.output).manifest
    for graph in (manifest.encoder, manifest.decoder):
        assert max(_zeros(graph).values()) < 0.1


def test_pruned_and_quantized_keeps_the_zeros_and_trains_nothing_anew(dense: Conversion) -> None:
    _converted(dense, "pruned", "prune:80", "prune:50")
    stages = sorted(dense.work.glob("*_pruning-*/model.npz"))
    times = [stage.stat().st_mtime_ns for stage in stages]
    both = _converted(dense, "both", "prune:80+quantize", "prune:50+quantize")
    assert sorted(dense.work.glob("*_pruning-*/model.npz")) == stages
    assert [stage.stat().st_mtime_ns for stage in stages] == times
    manifest = Bundle.open(both).manifest
    encoder, decoder = _zeros(manifest.encoder), _zeros(manifest.decoder)
    # Small weights round to zero too.
    assert min(encoder["CONV_2D"], encoder["FULLY_CONNECTED"]) >= 0.79
    assert encoder["DEPTHWISE_CONV_2D"] < 0.1
    assert min(decoder["FULLY_CONNECTED"], decoder["GATHER"]) >= 0.49
    assert zip_bytes(member_sizes(both)) < zip_bytes(member_sizes(dense.output))


def test_an_encoder_killed_while_it_is_pruned_and_resumed_gives_the_same_bytes(
    dense: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _converted(dense, "pruned", "prune:80", "prune:50")
    recipes = ENCODER_RECIPES["prune:80"], DECODER_RECIPES["none"]

    def prune() -> Model:
        model = Model.load(_checkpoint(dense.work, "training"))
        return compress(model, *recipes, dense.plan, _corpus(dense, tmp_path))

    epoch = FineTuner.epoch

    def stopping(trainer: FineTuner, number: int) -> Iterator[float]:
        for step, loss in enumerate(epoch(trainer, number)):
            if (number, step) == (1, 1):
                raise KeyboardInterrupt
            yield loss

    with monkeypatch.context() as patch:
        patch.setattr(FineTuner, "epoch", stopping)
        with pytest.raises(KeyboardInterrupt):
            prune()
    prune()
    again = _checkpoint(tmp_path, "encoder_pruning")
    assert again.read_bytes() == _checkpoint(dense.work, "encoder_pruning").read_bytes()


def test_pruning_one_half_leaves_the_other_as_it_was(dense: Conversion) -> None:
    _converted(dense, "pruned", "prune:80", "prune:50")
    before = Model.load(_checkpoint(dense.work, "training")).weights()
    encoder = Model.load(_checkpoint(dense.work, "encoder_pruning")).weights()
    decoder = Model.load(_checkpoint(dense.work, "decoder_pruning")).weights()
    halves = ("embedding_words/", "cell_", "head_")
    for name, value in before.items():
        of_decoder = name.startswith(halves)
        unchanged, changed = (encoder, decoder) if of_decoder else (decoder, encoder)
        other = before if of_decoder else encoder
        np.testing.assert_array_equal(unchanged[name], other[name], err_msg=name)
        if name.endswith(("kernel", "embeddings")):
            assert not np.array_equal(changed[name], value), name


def test_a_decoder_that_learned_from_whole_captions_does_so_again(
    dense: Conversion, tmp_path: Path
) -> None:
    recipes = ENCODER_RECIPES["none"], DECODER_RECIPES["prune:50"]
    pruned = compress(_by_sequences(dense), *recipes, dense.plan, _corpus(dense, tmp_path))
    assert _checkpoint(tmp_path, "decoder_pruning_sequence").exists()
    first = Model.load(_checkpoint(tmp_path, "decoder_pruning"))
    old = prunable(decoder_models(first))
    zeros = []
    for weight, before in zip(prunable(decoder_models(pruned)), old, strict=True):
        np.testing.assert_array_equal(weight.numpy() == 0, before.numpy() == 0)
        zeros.append((weight.numpy() == 0).ravel())
        assert not np.array_equal(weight.numpy(), before.numpy())
    assert np.concatenate(zeros).mean() == pytest.approx(0.5, abs=0.02)


def test_quantization_aware_training_rounds_as_the_files_do(dense: Conversion) -> None:
    # The conversion itself holds the input's scale against the encoder's normalization.
    bundle = Bundle.open(_converted(dense, "aware", "qat", "qat"))
    assert bundle.manifest.measured is not None
    assert bundle.manifest.origin.encoder_compression == "qat"
    encoder = Model.load(_checkpoint(dense.work, "encoder_qat")).weights()
    decoder = Model.load(_checkpoint(dense.work, "decoder_qat")).weights()
    before = Model.load(_checkpoint(dense.work, "training")).weights()
    for graph, name, kernel, axes, order in (
        (bundle.encoder, "blocks/last/", encoder["last/kernel"], (0, 1, 2), (3, 0, 1, 2)),
        (bundle.decoder, "cell/cell_gates/", decoder["cell_gates/kernel"], (0, 1), (1, 0)),
    ):
        step = np.abs(kernel).max(axis=axes, keepdims=True) / 127
        expected = np.round(kernel / step).transpose(order)
        difference = np.abs(_int8(graph, name) - expected)
        # Halves may go either way.
        assert difference.max() <= 1
        assert difference.mean() < 0.001
    assert not np.array_equal(before["last/kernel"], encoder["last/kernel"])
    for name, value in before.items():
        if name.startswith(("embedding_words/", "cell_", "head_")):
            np.testing.assert_array_equal(encoder[name], value, err_msg=name)
    assert not np.array_equal(before["cell_gates/kernel"], decoder["cell_gates/kernel"])


def test_the_decoder_learns_from_the_exported_encoder(dense: Conversion, tmp_path: Path) -> None:
    checkpoint, output, work = (tmp_path / name for name in ("all.npz", "adapted.edgecap", "work"))
    _by_sequences(dense).save(checkpoint)
    changes = {"adaptation.epochs": 1, "adaptation.photos": 8, "adaptation.learning_rate": 1e-2}
    plan = dense.plan.changed(changes)
    request = dataclasses.replace(dense, checkpoint=checkpoint, output=output, work=work, plan=plan)
    convert(dataclasses.replace(request, encoder_compression="qat"))
    bundle = Bundle.open(output)
    matched = Model.load(_checkpoint(work, "encoder_qat")).weights()
    adapted = Model.load(_checkpoint(work, "adaptation")).weights()
    for name, value in matched.items():
        changed = name.startswith(("embedding_words/", "cell_", "head_"))
        assert np.array_equal(adapted[name], value) != changed, name
    # It is this decoder that is exported, and that encoder.
    step = np.abs(adapted["cell_gates/kernel"]).max() / 127
    expected = np.round(adapted["cell_gates/kernel"] / step).T
    assert np.abs(_int8(bundle.decoder, "cell/cell_gates/") - expected).max() <= 1
    sha256 = bundle.manifest.origin.settings["adaptation_encoder_sha256"]
    assert sha256 == bundle.manifest.members[ENCODER].sha256


def test_what_a_decoder_adapts_to_is_what_the_device_gives(dense: Conversion) -> None:
    bundle = Bundle.open(dense.output)
    model, corpus = Model.load(_checkpoint(dense.work, "training")), _corpus(dense, dense.work)
    exported = Exported(bundle.encoder, bundle.manifest.encoder)
    photos = corpus.pixels(model, "dev")
    packed = run_encoder(exported, photos, "dev").astype(np.float32)
    found = unpacking(exported.graph)(packed)
    exact = model.decoder.photo(model.network(BLOCKS.normalize(photos)))
    assert found.keys() == exact.keys()
    for name, value in exact.items():
        assert found[name].shape == value.shape
        # Each photo's own, in the right places, off by the rounding alone.
        error = np.abs(found[name] - value).reshape(len(photos), -1).mean(axis=1)
        assert error.min() > 0
        assert error.max() / np.abs(value).max() < 0.05


@pytest.mark.parametrize(
    ("encoder", "decoder", "expected"),
    [
        ("qat", "quantize", True),
        ("qat", "none", True),
        ("quantize", "quantize", False),
        ("qat", "prune:50", False),
        ("qat", "qat", False),
    ],
)
def test_the_decoder_adapts_where_nothing_is_undone(
    dense: Conversion, encoder: str, decoder: str, expected: bool
) -> None:
    recipes = ENCODER_RECIPES[encoder], DECODER_RECIPES[decoder]
    assert adapts(_by_sequences(dense), *recipes) == expected
    assert not adapts(Model.load(_checkpoint(dense.work, "training")), *recipes)


def test_training_sees_the_error_of_the_device(dense: Conversion) -> None:
    """Rounding is a small difference, and the ranges hold what photos give."""
    model = Model.load(_checkpoint(dense.work, "training"))
    photos = _corpus(dense, dense.work).pixels(model, "train")
    pixels = BLOCKS.normalize(photos[:16])
    aware = aware_decoder(aware_encoder(model, photos))
    plain, rounded = (m.decoder.photo(m.network(pixels)) for m in (model, aware))
    token = np.full(16, 4, np.int32)
    pairs = [(plain[name], rounded[name]) for name in plain]
    pairs.append((model.decoder.step(token, plain)[0], aware.decoder.step(token, plain)[0]))
    for one, other in pairs:
        error = np.abs(one - other).mean() / np.abs(one).max()
        assert 0 < error < 0.05


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_layer_without_quantization_aware_training_is_named(dense: Conversion, half: str) -> None:
    keras = import_tensorflow().keras
    model = Model.load(_checkpoint(dense.work, "training"))
    photo = keras.layers.Input((8, 8, 3))
    odd = keras.Model(photo, keras.layers.SeparableConv2D(4, 3, name="odd")(photo))
    changed = dataclasses.replace(
        model, network=odd, decoder=dataclasses.replace(model.decoder, cell=odd)
    )
    complaint = rf"the {half}'s layer odd is a SeparableConv2D: .* choose quantize"
    with pytest.raises(ConversionError, match=complaint) as caught:
        AWARE[half](changed)
    assert "\n" not in str(caught.value)


def test_other_modes_of_quantization(dense: Conversion) -> None:
    output = _converted(dense, "modes", "quantize:float16", "quantize:full-int8")
    bundle = Bundle.open(output)
    # Verified in LiteRT, each against the float model.
    assert bundle.manifest.measured is not None
    model = tflite_file.read(bundle.encoder)
    import_tensorflow()
    from tensorflow.lite.python.schema_py_generated import TensorType

    (last,) = (
        t for t in model.subgraphs[0].tensors
        if t.name == b"blocks/last/Conv2D" and len(t.shape) == 4
    )  # fmt: skip
    assert last.type == TensorType.FLOAT16
    assert _int8(bundle.decoder, "cell/cell_gates/").shape == (256, 128)
    assert _zeros(bundle.manifest.encoder)["CONV_2D"] < 0.01
    # The state is int8 inside, float32 for whoever calls.
    assert {tensor.dtype for tensor in bundle.manifest.decoder.outputs} == {"float32"}


def test_the_estimate_counts_what_recipes_train(dense: Conversion) -> None:
    model, corpus = Model.load(_checkpoint(dense.work, "training")), _corpus(dense, dense.work)

    def seconds(encoder: str, decoder: str, /, **changes: int) -> float:
        recipes = ENCODER_RECIPES[encoder], DECODER_RECIPES[decoder]
        plan = Plan().changed({f"{stage}.epochs": n for stage, n in changes.items()})
        return Estimate.of(model, plan, corpus, recipes, trained=True).seconds

    nothing = seconds("quantize", "quantize")
    longer = {"encoder_retraining": 8, "encoder_matching": 8, "decoder_retraining": 8}
    assert seconds("none", "quantize:full-int8", **longer) == nothing
    for half in (("qat", "none"), ("prune:80", "none"), ("none", "qat"), ("none", "prune:80")):
        assert nothing < seconds(*half) < seconds(*half, **longer)


def test_the_estimate_counts_the_adaptation(dense: Conversion) -> None:
    corpus = _corpus(dense, dense.work)

    def seconds(model: Model, decoder: str, epochs: int) -> float:
        recipes = ENCODER_RECIPES["qat"], DECODER_RECIPES[decoder]
        plan = Plan().changed({"adaptation.epochs": epochs})
        return Estimate.of(model, plan, corpus, recipes, trained=True).seconds

    model = _by_sequences(dense)
    assert seconds(model, "quantize", 2) < seconds(model, "quantize", 8)
    # Words alone, or a decoder that is trained by its own recipe: none.
    assert seconds(model, "qat", 2) == seconds(model, "qat", 8)
    model = Model.load(_checkpoint(dense.work, "training"))
    assert seconds(model, "quantize", 2) == seconds(model, "quantize", 8)
