"""The encoders' shapes, counts and weights; and every way in which weights can be wrong."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from edgecap.errors import ConversionError, UsageError
from edgecap_converter.encoder_weights import FOLDER_VARIABLE, assign_weights, load_network
from edgecap_converter.encoders import ENCODERS, Encoder, find_encoder
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.macs import multiply_accumulates

WEIGHTS = os.environ.get(FOLDER_VARIABLE)
needs_weights = pytest.mark.skipif(not WEIGHTS, reason=f"{FOLDER_VARIABLE} is not set")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # All values in its weights file, batch norm folded into them.
        ("efficientnet_lite0", 3_350_000),
        ("mobilenet_v2_1.0", 2_257_984),
        ("mobilenet_v2_0.35", 410_208),
    ],
)
def test_size_and_output(name: str, parameters: int) -> None:
    network = find_encoder(name).build(224)
    assert network.output_shape == (None, 7, 7, 1280)
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


@needs_weights
@pytest.mark.parametrize("name", list(ENCODERS))
def test_real_weights_load_and_tell_photos_apart(name: str) -> None:
    encoder = find_encoder(name)
    network, digest = load_network(encoder, None, seed=0)
    photos = np.zeros((2, 224, 224, 3), np.uint8)
    photos[1, 60:160, 60:160] = (250, 40, 40)
    features = network(encoder.normalize(photos)).numpy()
    assert len(digest) == 64
    assert 0 <= features.min() < features.max() <= 6  # the last layer is a ReLU6
    assert np.abs(features[0] - features[1]).mean() > 0.01


def test_random_weights_follow_the_seed() -> None:
    encoder = find_encoder("mobilenet_v2_0.35")
    hashes = [load_network(encoder, "random", seed)[1] for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_no_weights_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(ConversionError, match=r"no download.*--encoder-weights FILE.*=FOLDER"):
        load_network(find_encoder("efficientnet_lite0"), None, seed=0)


def test_a_download_without_network_names_both_ways(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where Keras keeps what it downloaded
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(ConversionError, match=r"could not download.*--encoder-weights FILE"):
        load_network(find_encoder("mobilenet_v2_0.35"), None, seed=0)


def test_a_missing_file_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no weights at nowhere\.npz"):
        load_network(find_encoder("mobilenet_v2_0.35"), "nowhere.npz", seed=0)


def _small() -> Encoder:
    def build(side: int) -> object:
        keras = import_tensorflow().keras
        photo = keras.layers.Input((side, side, 3))
        return keras.Model(photo, keras.layers.Conv2D(2, 1, name="only")(photo))

    return Encoder("small", 4, 0.0, 1.0, build, None, "none")


KERNEL = np.ones((1, 1, 3, 2), np.float16)
BIAS = np.zeros(2, np.float32)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"only/kernel": KERNEL}, "has no only/bias"),
        ({"only/kernel": KERNEL[..., :1], "only/bias": BIAS}, "has shape"),
        ({"only/kernel": KERNEL * np.inf, "only/bias": BIAS}, "not finite"),
        ({"only/kernel": KERNEL, "only/bias": BIAS, "more/kernel": BIAS}, "also holds more/kernel"),
        ({"only/kernel": np.array([object()]), "only/bias": BIAS}, "not a readable"),
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
