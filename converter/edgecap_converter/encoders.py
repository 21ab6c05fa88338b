"""The encoders: photo -> grid of features, without a classifier.

Letters: `B` batch, `P` grid positions, `D` feature width of the encoder's last layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgecap.errors import UsageError
from edgecap_converter.frameworks import forget_names, import_tensorflow

# What Keras's "caffe" preprocessing subtracts from R, G and B (keras.applications.imagenet_utils).
MEAN_COLOUR = (123.68, 116.779, 103.939)
# Near all three and whole, as the zero point of a uint8 input is.
MEAN_GREY = 115.0


@dataclass(frozen=True)
class Encoder:
    """An encoder network and how it wants its photo.

    The network takes float32 `(B, side, side, 3)` RGB, each value `(pixel - offset) / scale`
    for a pixel of 0..255, and gives float32 `(B, height, width, D)`; an encoder that gives one
    vector a photo gives it as a grid of one position. One offset and one scale for all channels:
    the exported graph then normalizes through the quantization of its uint8 input, at no cost.
    What differs from channel to channel is a layer of the network.
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
    bgr_layer: str | None = None
    """The layer whose published kernel takes B, G, R; it is turned round when it is loaded."""
    beyond: tuple[str, ...] = ()
    """How the names of layers begin that published weights have after this encoder's last."""

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


def _mean_colour(side: int) -> Any:
    """The photo minus `MEAN_GREY` -> the photo minus `MEAN_COLOUR`, both RGB.

    Not folded into the first bias: these networks pad with zeros, which stand for the mean colour.
    """
    layers = import_tensorflow().keras.layers
    photo = layers.Input((side, side, 3), name="normalized")
    shift = [MEAN_GREY - mean for mean in MEAN_COLOUR]
    return layers.Rescaling(1.0, shift, name="mean_colour")(photo)


def _vgg16(weights: str | None) -> Callable[[int], Any]:
    """VGG16 (Simonyan and Zisserman 2015) to `fc2`, 4,096 values a photo."""

    def build(side: int) -> Any:
        keras = import_tensorflow().keras
        whole = keras.applications.VGG16(
            input_tensor=_mean_colour(side), input_shape=(side, side, 3), weights=weights
        )
        vector = whole.get_layer("fc2").output
        grid = keras.layers.Reshape((1, 1, vector.shape[-1]), name="grid")(vector)
        return keras.Model(whole.input, grid, name="vgg16")

    return build


def _resnet50(name: str, last: str | None, weights: str | None) -> Callable[[int], Any]:
    """ResNet50 (He et al. 2016) to the layer `last`; if None, its output's mean, 2,048 values."""

    def build(side: int) -> Any:
        keras = import_tensorflow().keras
        whole = keras.applications.ResNet50(
            input_tensor=_mean_colour(side), include_top=False, weights=weights
        )
        if last is not None:
            grid = whole.get_layer(last).output
        else:
            pool = keras.layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")
            grid = pool(whole.output)
        return keras.Model(whole.input, grid, name=name)

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
        Encoder(
            "vgg16", 224, MEAN_GREY, 1.0, _vgg16(None), _vgg16("imagenet"), "CC-BY-4.0",
            bgr_layer="block1_conv1", beyond=("predictions",),
        ),
        Encoder(
            "resnet50", 224, MEAN_GREY, 1.0,
            _resnet50("resnet50", None, None), _resnet50("resnet50", None, "imagenet"), "MIT",
            bgr_layer="conv1_conv", beyond=("predictions",),
        ),
        Encoder(
            "resnet50_conv4", 224, MEAN_GREY, 1.0,
            _resnet50("resnet50_conv4", "conv4_block6_out", None),
            _resnet50("resnet50_conv4", "conv4_block6_out", "imagenet"), "MIT",
            bgr_layer="conv1_conv", beyond=("conv5_", "predictions"),
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
