"""The encoders' shapes, counts and weights; and every way in which weights can be wrong."""

import dataclasses
import hashlib
import importlib
import os
import socket
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgecap.errors import ConversionError, UsageError
from edgecap_converter import export
from edgecap_converter.decoders import build_decoder
from edgecap_converter.encoder_weights import (
    FOLDER_VARIABLE,
    RANDOM,
    assign_weights,
    load_network,
)
from edgecap_converter.encoders import ENCODERS, Encoder, find_encoder
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.macs import multiply_accumulates
from edgecap_converter.plan import DecoderSize
from edgecap_converter.quantization import FULL_INTEGER
from edgecap_converter.verify import require_input_scale
from edgecap_runtime.interpreter import find_engine

WEIGHTS = os.environ.get(FOLDER_VARIABLE)
needs_weights = pytest.mark.skipif(not WEIGHTS, reason=f"{FOLDER_VARIABLE} is not set")


@pytest.mark.parametrize(
    ("name", "side", "parameters", "grid"),
    [
        # All values in its weights file, batch norm folded into them.
        ("efficientnet_lite0", 224, 3_350_000, (7, 7, 1280)),
        ("mobilenet_v2_1.0", 224, 2_257_984, (7, 7, 1280)),
        ("mobilenet_v2_0.35", 224, 410_208, (7, 7, 1280)),
        ("resnet50", 224, 23_587_712, (1, 1, 2048)),
        ("resnet50_conv4", 224, 8_589_184, (14, 14, 1024)),
        # 14,714,688 in convolutions; fc1 sees 1 x 1 x 512 values here, 7 x 7 x 512 at 224.
        ("vgg16", 32, 14_714_688 + 513 * 4096 + 4097 * 4096, (1, 1, 4096)),
    ],
)
def test_size_and_output(name: str, side: int, parameters: int, grid: tuple[int, ...]) -> None:
    network = find_encoder(name).build(side)
    assert network.output_shape == (None, *grid)
    assert network.count_params() == parameters


def test_multiply_accumulates_by_hand() -> None:
    tensorflow = import_tensorflow()
    layers = tensorflow.keras.layers
    network = tensorflow.keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, strides=2, padding="same"),  # 4 * 4 * 4 outputs, 27 each
            layers.DepthwiseConv2D(3, padding="same"),  # 4 * 4 * 4 outputs, 9 each
            layers.Flatten(),
            layers.Dense(10),  # 10 outputs, 64 each
        ]
    )
    photo = tensorflow.TensorSpec((1, 8, 8, 3), tensorflow.float32)
    graph = tensorflow.function(network, autograph=False).get_concrete_function(photo)
    assert multiply_accumulates(graph) == 64 * 27 + 64 * 9 + 640


def test_normalization_is_offset_and_scale() -> None:
    values = ENCODERS["mobilenet_v2_1.0"].normalize(np.array([[[[0, 255, 51]]]], np.uint8))
    np.testing.assert_allclose(values, [[[[-1, 1, -0.6]]]], atol=1e-6)


def test_an_unknown_encoder_names_the_known() -> None:
    with pytest.raises(UsageError, match=r"efficientnet_lite0, mobilenet_v2_1\.0"):
        find_encoder("resnet900")


@pytest.mark.parametrize(
    ("name", "application", "side", "last"),
    [
        ("vgg16", "VGG16", 32, "fc2"),
        ("resnet50", "ResNet50", 64, "avg_pool"),
        ("resnet50_conv4", "ResNet50", 64, "conv4_block6_out"),
    ],
)
def test_a_photo_is_seen_as_by_keras_behind_its_own_preprocessing(
    tmp_path: Path, name: str, application: str, side: int, last: str
) -> None:
    keras = import_tensorflow().keras
    whole = getattr(keras.applications, application)(weights=None, input_shape=(side, side, 3))
    _randomize(whole)
    path = tmp_path / "weights.h5"
    whole.save_weights(path)
    encoder = dataclasses.replace(find_encoder(name), side=side)
    network, _ = load_network(encoder, str(path), seed=0)

    photos = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    preprocess = getattr(keras.applications, name.split("_")[0]).preprocess_input
    keras_network = keras.Model(whole.input, whole.get_layer(last).output)
    expected = keras_network(preprocess(photos.astype(np.float32))).numpy()
    found = network(encoder.normalize(photos)).numpy()
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=tolerance)
    assert np.abs(expected[0] - expected[1]).max() > 100 * tolerance
    # The order of the channels counts.
    turned = network(encoder.normalize(photos[..., ::-1])).numpy().reshape(expected.shape)
    assert np.abs(turned - expected).max() > 100 * tolerance


def _randomize(network: Any) -> None:
    """Biases and batch norm too: new ones would hide it if they were mixed up."""
    generator = np.random.default_rng(0)
    for layer in network.layers:
        layer.set_weights(
            [
                np.abs(value + generator.normal(0, 0.1, value.shape)) if value.ndim == 1 else value
                for value in layer.get_weights()
            ]
        )


def test_resnet50_is_exported_in_int8_throughout(tmp_path: Path) -> None:
    encoder = dataclasses.replace(find_encoder("resnet50_conv4"), side=32)
    network, _ = load_network(encoder, RANDOM, seed=0)
    _randomize(network)
    size = DecoderSize(features=8, embedding=8, hidden=8)
    decoder = build_decoder("merge", size, network.output_shape[1:], vocabulary=9)
    photos = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    exported = export.export_encoder(encoder, network, decoder, photos, FULL_INTEGER, tmp_path)
    require_input_scale(exported.content, encoder)

    interpreter = find_engine().interpreter(model_content=exported.content)
    operations = Counter(op["op_name"] for op in interpreter._get_ops_details())
    # 42 convolutions that took up their batch norm, and the projection of `merge`; 13 shortcuts
    # and the mean colour.
    assert (operations["CONV_2D"], operations["FULLY_CONNECTED"], operations["ADD"]) == (43, 1, 14)
    assert operations.keys() <= {
        "QUANTIZE", "ADD", "PAD", "CONV_2D", "MAX_POOL_2D", "MEAN", "FULLY_CONNECTED",
        "DEQUANTIZE", "DELEGATE",
    }  # fmt: skip
    tensors = interpreter.get_tensor_details()
    assert sum(tensor["dtype"] == np.float32 for tensor in tensors) == 2  # image and state

    outputs = interpreter.get_signature_runner("encode")(photo=photos[:1])
    expected = decoder.photo(network(encoder.normalize(photos[:1])))["image"].numpy()
    error = np.linalg.norm(outputs["image"] - expected) / np.linalg.norm(expected)
    assert error < 0.1


@needs_weights
@pytest.mark.parametrize(
    ("name", "highest"),
    [
        # The last layer is a ReLU6, or a ReLU.
        ("efficientnet_lite0", 6),
        ("mobilenet_v2_1.0", 6),
        ("mobilenet_v2_0.35", 6),
        ("resnet50_conv4", np.inf),
    ],
)
def test_real_weights_load_and_tell_photos_apart(name: str, highest: float) -> None:
    encoder = find_encoder(name)
    network, digest = load_network(encoder, None, seed=0)
    photos = np.zeros((2, 224, 224, 3), np.uint8)
    photos[1, 60:160, 60:160] = (250, 40, 40)
    features = network(encoder.normalize(photos)).numpy()
    assert len(digest) == 64
    assert 0 <= features.min() < features.max() <= highest
    assert np.abs(features[0] - features[1]).mean() > 0.01


def test_random_weights_follow_the_seed() -> None:
    encoder = find_encoder("mobilenet_v2_0.35")
    hashes = [load_network(encoder, "random", seed)[1] for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_no_weights_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(ConversionError, match=r"no download.*--encoder-weights FILE.*=FOLDER"):
        load_network(find_encoder("efficientnet_lite0"), None, seed=0)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty home, where Keras keeps what it downloaded."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Without it Keras takes one that all users of the machine share.
    (tmp_path / ".keras").mkdir()
    return tmp_path


@pytest.mark.usefixtures("home")
def test_a_download_without_network_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(ConversionError, match=r"could not download.*--encoder-weights FILE"):
        load_network(find_encoder("mobilenet_v2_0.35"), None, seed=0)


Serve = Callable[[Callable[[BaseHTTPRequestHandler], None]], str]


def _serve_file(serve: Serve, path: Path) -> str:
    """The address, with a slash, below which a server on loopback has this file alone."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == f"/{path.name}":
            handler.send_response(200)
            handler.send_header("Content-Length", str(path.stat().st_size))
            handler.end_headers()
            handler.wfile.write(path.read_bytes())
        else:
            handler.send_error(404)

    return f"{serve(answer)}/"


def test_mobilenet_is_downloaded(
    home: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = importlib.import_module("tf_keras.src.applications.mobilenet_v2")
    encoder = find_encoder("mobilenet_v2_0.35")
    published, digest = load_network(encoder, RANDOM, seed=5)
    path = home / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    published.save_weights(path)
    monkeypatch.setattr(theirs, "BASE_WEIGHT_PATH", _serve_file(serve, path))
    assert load_network(encoder, None, seed=0)[1] == digest
    said = capsys.readouterr()
    assert said.out == ""
    assert path.name in said.err
    # From Keras's cache, without the server.
    monkeypatch.setattr(theirs, "BASE_WEIGHT_PATH", "http://127.0.0.1:1/")
    assert load_network(encoder, None, seed=0)[1] == digest


def test_resnet50_is_downloaded_cut_and_turned_to_rgb(
    home: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = importlib.import_module("tf_keras.src.applications.resnet")
    published = theirs.ResNet50(weights=None, include_top=False)
    path = home / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    published.save_weights(path)
    monkeypatch.setattr(theirs, "BASE_WEIGHTS_PATH", _serve_file(serve, path))
    encoder = find_encoder("resnet50_conv4")
    with pytest.raises(ConversionError, match=r"could not download resnet50_conv4 .*corrupted"):
        load_network(encoder, None, seed=0)

    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(theirs.WEIGHTS_HASHES, "resnet50", (None, md5))
    network, _ = load_network(encoder, None, seed=0)
    ours, whole = (n.get_layer("conv1_conv").get_weights()[0] for n in (network, published))
    np.testing.assert_array_equal(ours, whole[:, :, ::-1])
    last = "conv4_block6_3_conv"
    ours, whole = (n.get_layer(last).get_weights()[0] for n in (network, published))
    np.testing.assert_array_equal(ours, whole)


def test_an_address_without_the_weights_names_both_ways(
    home: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = importlib.import_module("tf_keras.src.applications.mobilenet_v2")
    monkeypatch.setattr(theirs, "BASE_WEIGHT_PATH", _serve_file(serve, home / "other.h5"))
    with pytest.raises(ConversionError, match=r"could not .* 404 .*--encoder-weights FILE"):
        load_network(find_encoder("mobilenet_v2_0.35"), None, seed=0)
    assert list(home.glob(".keras/models/*")) == []


def test_a_missing_file_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no weights at nowhere\.npz"):
        load_network(find_encoder("mobilenet_v2_0.35"), "nowhere.npz", seed=0)


def _build_small(keras: Any, side: int) -> Any:
    photo = keras.layers.Input((side, side, 3))
    return keras.Model(photo, keras.layers.Conv2D(2, 1, name="only")(photo))


def _small() -> Encoder:
    def build(side: int) -> object:
        return _build_small(import_tensorflow().keras, side)

    return Encoder("small", 4, 0.0, 1.0, build, None, "none")


KERNEL = np.ones((1, 1, 3, 2), np.float16)
BIAS = np.zeros(2, np.float32)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"only/kernel": KERNEL}, r"has no only/bias, expected of shape \(2,\): give the weights"),
        (
            {"only/kernel": KERNEL[..., :1], "only/bias": BIAS},
            r"only/kernel has shape \(1, 1, 3, 1\), expected \(1, 1, 3, 2\): give the weights of",
        ),
        ({"only/kernel": KERNEL * np.inf, "only/bias": BIAS}, "not finite"),
        ({"only/kernel": KERNEL, "only/bias": BIAS, "more/kernel": BIAS}, "also holds more/kernel"),
        ({"only/kernel": np.array([object()]), "only/bias": BIAS}, "not a readable"),
        ({"only/kernel": np.array(["words"]), "only/bias": BIAS}, "not a readable"),
    ],
)
def test_weights_that_do_not_fit(
    tmp_path: Path, arrays: dict[str, np.ndarray], complaint: str
) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, **arrays)
    with pytest.raises(ConversionError, match=complaint) as caught:
        assign_weights(_small().build(4), path)
    assert "\n" not in str(caught.value)


def test_a_broken_weights_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, **{"only/kernel": KERNEL, "only/bias": BIAS})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ConversionError, match="not a readable"):
        assign_weights(_small().build(4), path)


def test_weights_arrive_where_they_belong(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, **{"only/kernel": KERNEL * 3, "only/bias": BIAS + 1})
    network = _small().build(4)
    assign_weights(network, path)
    np.testing.assert_allclose(network(np.ones((1, 4, 4, 3), np.float32)), 10.0)


def test_layers_after_the_encoders_last_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, **{"only/kernel": KERNEL, "only/bias": BIAS, "predictions/bias": BIAS})
    assign_weights(_small().build(4), path, beyond=("predictions",))
    with pytest.raises(ConversionError, match="also holds predictions/bias"):
        assign_weights(_small().build(4), path, beyond=("conv5_",))


@pytest.mark.parametrize("keras_name", ["keras", "tf_keras"])
@pytest.mark.parametrize("whole", [False, True])
def test_keras_2_and_3_files_are_read(tmp_path: Path, keras_name: str, whole: bool) -> None:
    import_tensorflow()
    saved = _build_small(importlib.import_module(keras_name), 4)
    saved.get_layer("only").set_weights([KERNEL * 3, BIAS + 1])
    # Keras 3 writes weights alone in a layout of its own.
    path = tmp_path / ("weights.weights.h5" if keras_name == "keras" else "weights.h5")
    if whole:
        saved.save(tmp_path / "weights.h5")
        path = tmp_path / "weights.h5"
    else:
        saved.save_weights(path)
    network = _small().build(4)
    assign_weights(network, path)
    np.testing.assert_allclose(network(np.ones((1, 4, 4, 3), np.float32)), 10.0)


def _write_hdf5(path: Path, tensors: dict[str, Any], layer: str = "only") -> Path:
    """As Keras wrote VGG16's file: names of tensors that nobody uses any more, as bytes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode(), b"block1_pool"]
        file.create_group("block1_pool").attrs["weight_names"] = []
        group = file.create_group(layer)
        group.attrs["weight_names"] = [name.encode() for name in tensors]
        for name, value in tensors.items():
            group[name] = value
    return path


def test_the_first_keras_files_are_read(tmp_path: Path) -> None:
    tensors = {"only_W_1:0": KERNEL * 3, "only_b_1:0": BIAS + 1}
    network = _small().build(4)
    assign_weights(network, _write_hdf5(tmp_path / "weights.h5", tensors))
    np.testing.assert_allclose(network(np.ones((1, 4, 4, 3), np.float32)), 10.0)


@pytest.mark.parametrize(
    ("tensors", "layer", "complaint"),
    [
        ({"W": KERNEL}, "only", r"has no only/bias, expected of shape \(2,\)"),
        ({"W": KERNEL, "b": BIAS}, "other", r"has no only/kernel"),
        ({"W": KERNEL[:, :, :2], "b": BIAS}, "only", r"only/kernel has shape \(1, 1, 2, 2\), exp"),
        ({"W": KERNEL, "b": BIAS, "c": BIAS}, "only", "also holds only/2"),
        ({"W": KERNEL, "b": BIAS * np.nan}, "only", "only/bias holds values that are not finite"),
        ({"W": b"words", "b": BIAS}, "only", "not a readable"),
    ],
)
def test_a_keras_file_that_does_not_fit(
    tmp_path: Path, tensors: dict[str, Any], layer: str, complaint: str
) -> None:
    path = _write_hdf5(tmp_path / "weights.h5", tensors, layer)
    with pytest.raises(ConversionError, match=complaint) as caught:
        assign_weights(_small().build(4), path)
    assert "\n" not in str(caught.value)


def test_a_keras_file_without_names_of_layers(tmp_path: Path) -> None:
    path = tmp_path / "weights.weights.h5"
    _small().build(4).save_weights(path)
    with pytest.raises(ConversionError, match=r"not a readable .* with names of layers"):
        assign_weights(_small().build(4), path)


def test_a_broken_keras_file(tmp_path: Path) -> None:
    path = _write_hdf5(tmp_path / "weights.h5", {"W": KERNEL, "b": BIAS})
    content = path.read_bytes()
    generator, outcomes = np.random.default_rng(0), Counter()
    for _ in range(100):
        broken = bytearray(content[: generator.integers(8, len(content) + 1)])
        broken[generator.integers(8, len(broken) + 1) - 1] ^= 255
        path.write_bytes(broken)
        try:
            assign_weights(_small().build(4), path)
            outcomes["read"] += 1  # what was hit is not used
        except ConversionError as error:
            assert "\n" not in str(error)  # noqa: PT017
            outcomes["refused"] += 1
    assert outcomes["refused"] > 50
