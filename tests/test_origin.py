"""Which engines a TFLite file asks for."""

from typing import Any

import pytest

from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.origin import OLDEST_TFLITE_RUNTIME, oldest_engines


def _dense(*, int8: bool, scale_for_each_channel: bool = False) -> bytes:
    """A graph of one dense layer, without or with int8 weights."""
    tensorflow = import_tensorflow()
    module = tensorflow.Module()
    module.kernel = tensorflow.Variable(tensorflow.ones((64, 64)))

    @tensorflow.function(input_signature=[tensorflow.TensorSpec((1, 64))])  # type: ignore[untyped-decorator]
    def multiply(features: Any) -> Any:
        return tensorflow.matmul(features, module.kernel)

    lite = tensorflow.lite
    converter = lite.TFLiteConverter.from_concrete_functions(
        [multiply.get_concrete_function()], module
    )
    converter.optimizations = [lite.Optimize.DEFAULT] if int8 else []
    per_channel = scale_for_each_channel
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel
    content: bytes = converter.convert()
    return content


@pytest.fixture(scope="module")
def old() -> bytes:
    return _dense(int8=True)


def test_operators_that_tflite_runtime_knows_ask_for_no_newer_one(old: bytes) -> None:
    engines = oldest_engines([_dense(int8=False), old])
    assert engines["tflite-runtime"] == OLDEST_TFLITE_RUNTIME


def test_one_operator_that_it_does_not_know_asks_for_a_newer_one(old: bytes) -> None:
    # FULLY_CONNECTED of version 12, which came with TensorFlow 2.17.
    new = _dense(int8=True, scale_for_each_channel=True)
    for graphs in ([old, new], [new, old]):
        assert oldest_engines(graphs)["tflite-runtime"] == "2.17.0"
