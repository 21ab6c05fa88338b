"""A trained captioner before compression, and its checkpoint file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecap import schema
from edgecap.errors import ConversionError
from edgecap.tokenizer import Tokenizer
from edgecap_converter import checkpoints
from edgecap_converter.decoders import Decoder, build_decoder
from edgecap_converter.encoders import Encoder, find_encoder
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.plan import DecoderSize

FORMAT, VERSION = "edgecap-checkpoint", 1


@dataclass(frozen=True)
class Configuration:
    """What a checkpoint is of; stands in it as JSON."""

    encoder: str
    decoder: str
    size: DecoderSize
    words: tuple[str, ...]
    maximum_words: int
    dataset: str
    seed: int
    training: dict[str, str | bool | int | float]
    format: str = FORMAT
    version: int = VERSION

    @property
    def by_sequences(self) -> bool:
        """Whether whole captions taught the decoder; words alone would undo that."""
        return "sequence_epochs" in self.training


@dataclass(frozen=True)
class Model:
    """Encoder and decoder as Keras models, and the words they speak."""

    configuration: Configuration
    encoder: Encoder
    network: Any
    decoder: Decoder
    tokenizer: Tokenizer

    @property
    def models(self) -> tuple[Any, ...]:
        """All Keras models, in the order in which weights are kept."""
        return (self.network, *self.decoder.models)

    def weights(self) -> checkpoints.Arrays:
        """Float32 arrays of all models by `layer/tensor`."""
        return checkpoints.weights(self.models)

    def sha256(self) -> str:
        """SHA-256 over names and values of all weights."""
        digest = hashlib.sha256()
        for name, value in sorted(checkpoints.weights(self.models).items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value).data)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Writes a checkpoint: kernels as float16, vectors (biases, statistics) as float32.

        Raises:
            ConversionError: if it cannot be written.
        """
        arrays = {f"encoder/{name}": a for name, a in checkpoints.weights([self.network]).items()}
        arrays |= checkpoints.weights(self.decoder.models)
        small = {name: a.astype(np.float16) if a.ndim > 1 else a for name, a in arrays.items()}
        if not all(np.isfinite(array).all() for array in small.values()):
            raise ConversionError("a weight is not finite as float16: train with a lower rate")
        checkpoints.save(path, small, schema.to_value(self.configuration))

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Reads what `save` wrote.

        Raises:
            UsageError: if there is no such file.
            ConversionError: if it is broken, or of another architecture or version.
        """
        arrays, value = checkpoints.load(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ConversionError(f"{path} is not a checkpoint of a captioner: give another file")
        if value.get("version") != VERSION:
            raise ConversionError(
                f"{path}: checkpoint version {value.get('version')!r} is unknown, this edgecap "
                f"reads version {VERSION}: upgrade edgecap or train again"
            )
        try:
            configuration = schema.from_value(Configuration, value)
        except schema.SchemaError as error:
            raise ConversionError(f"{path}: broken configuration ({error})") from error
        encoder = find_encoder(configuration.encoder)
        network = encoder.network()
        network.trainable = False
        model = build_model(configuration, encoder, network)
        prefix = "encoder/"
        encoder_arrays = {
            n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)
        }
        checkpoints.assign([network], encoder_arrays)
        checkpoints.assign(model.decoder.models, arrays)
        return model


def build_model(configuration: Configuration, encoder: Encoder, network: Any) -> Model:
    """A model with the network's weights and a new decoder, drawn from the configuration's seed."""
    tokenizer = Tokenizer(configuration.words)
    import_tensorflow().keras.utils.set_random_seed(configuration.seed)
    decoder = build_decoder(
        configuration.decoder, configuration.size, network.output_shape[1:], len(tokenizer)
    )
    return Model(configuration, encoder, network, decoder, tokenizer)
