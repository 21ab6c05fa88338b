"""The encoders: photo -> grid of features, without a classifier.

Letters: `B` batch, `P` grid positions, `D` feature width of the encoder's last layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgecap.errors import UsageError
from edgecap_converter.frameworks import forget_names, import_tensorflow


@dataclass(frozen=True)
class Encoder:
    """An encoder network and how it wants its photo.

    The network takes float32 `(B, side, side, 3)` RGB, each value `(pixel - offset) / scale`
    for a pixel of 0..255, and gives float32 `(B, height, width, D)`. One offset and one scale
    for all channels: the exported graph then normalizes through the quantization of its uint8
    input, at no cost.
    """

    name: str
    side: int
    offset: float
    scale: float
    build: Callable[[int], Any]
    """Makes the network with random weights for a given side."""
    download: Callable[[int], Any] | None
    """Makes it with the weights that Keras downloads, where Keras has them."""
    weights_licence: str

    def network(self) -> Any:
        """A new network with random weights."""
        forget_names()
        return self.build(self.side)

    def normalize(self, pixels: Any) -> Any:
        """uint8 `(B, side, side, 3)` -> the float32 values the network takes."""
        tensorflow = import_tensorflow()
        return (tensorflow.cast(pixels, tensorflow.float32) - self.offset) / self.scale


def _efficientnet_lite0(side: int) -> Any:
    """EfficientNet-Lite0 (Tan and Le 2019; Lite: no squeeze-and-excite, ReLU6), batch norm folded.

    Layers are numbered in order, as in the weight files: `conv_00, dw_01, conv_02, …, conv_48`.
    """
    layers = import_tensorflow().keras.layers
    count = 0

    def convolution(tensor: Any, width: int, size: int, stride: int, active: bool) -> Any:
        nonlocal count
        tensor = layers.Conv2D(
            width, size, strides=stride, padding="same", name=f"conv_{count:02d}"
        )(tensor)
        count += 1
        return layers.ReLU(6.0, name=f"relu_{count - 1:02d}")(tensor) if active else tensor

    def depthwise(tensor: Any, size: int, stride: int) -> Any:
        nonlocal count
        tensor = layers.DepthwiseConv2D(
            size, strides=stride, padding="same", name=f"dw_{count:02d}"
        )(tensor)
        count += 1
        return layers.ReLU(6.0, name=f"relu_{count - 1:02d}")(tensor)

    photo = layers.Input((side, side, 3), name="normalized")
    tensor = convolution(photo, 32, 3, 2, active=True)
    # Expansion, width, repeats, first stride, kernel size of each stage.
    for expansion, width, repeats, stride, size in (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ):
        for repeat in range(repeats):
            shortcut = tensor
            if expansion > 1:
                tensor = convolution(tensor, expansion * tensor.shape[-1], 1, 1, active=True)
            tensor = depthwise(tensor, size, stride if repeat == 0 else 1)
            tensor = convolution(tensor, width, 1, 1, active=False)
            if repeat > 0:
                tensor = layers.Add(name=f"add_{count - 1:02d}")([shortcut, tensor])
    tensor = convolution(tensor, 1280, 1, 1, active=True)
    return import_tensorflow().keras.Model(photo, tensor, name="efficientnet_lite0")


def _mobilenet_v2(alpha: float, weights: str | None) -> Callable[[int], Any]:
    def build(side: int) -> Any:
        return import_tensorflow().keras.applications.MobileNetV2(
            input_shape=(side, side, 3), alpha=alpha, include_top=False, weights=weights
        )

    return build


ENCODERS = {
    encoder.name: encoder
    for encoder in (
        Encoder(
            "efficientnet_lite0", 224, 127.0, 1.0, _efficientnet_lite0, None, "Apache-2.0"
        ),
        Encoder(
            "mobilenet_v2_1.0", 224, 127.5, 127.5,
            _mobilenet_v2(1.0, None), _mobilenet_v2(1.0, "imagenet"), "Apache-2.0",
        ),
        Encoder(
            "mobilenet_v2_0.35", 224, 127.5, 127.5,
            _mobilenet_v2(0.35, None), _mobilenet_v2(0.35, "imagenet"), "Apache-2.0",
        ),
    )
}  # fmt: skip


def find_encoder(name: str) -> Encoder:
    """The encoder of that name.

    Raises:
        UsageError: naming the known ones.
    """
    if name not in ENCODERS:
        raise UsageError(f"no encoder {name!r}: choose one of {', '.join(ENCODERS)}")
    return ENCODERS[name]
