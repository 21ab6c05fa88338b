"""A model of transformers on the CPU, made to go on to a given number of tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from edgecap import image
from paper.captioners import Clock, Said
from peers.architectures import SMOLVLM, Architecture, architectures

ENGINE = f"torch {torch.__version__}, transformers {transformers.__version__}"


class TorchCaptioner:
    """Greedy `generate`, in float32.

    Published examples search with a beam, and SmolVLM's cut a photo into up to 17 tiles: both
    take longer. Tokens stand for words, by their ids: there is no tokenizer without a download.

    Args:
        folder: what `torch_files` saved.
        name: of `architectures.json`.
        threads: of every operation.
    """

    def __init__(self, folder: Path, name: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._architecture = architectures()[name]
        is_smolvlm = name == SMOLVLM
        kind = (
            transformers.Idefics3ForConditionalGeneration
            if is_smolvlm
            else transformers.VisionEncoderDecoderModel
        )
        # Processors without bfloat16 of their own take several times as long in it.
        self._model: Any = kind.from_pretrained(folder, dtype=torch.float32).eval()
        self._prompt = _prompt(self._architecture) if is_smolvlm else None

    def caption(self, photo: Path, words: int) -> Said:
        """Exactly `words` tokens about a photo."""
        clock = Clock()
        pixels = clock.time("photo", lambda: self._pixels(photo))
        ids = clock.time("model", lambda: self._generate(pixels, words))
        return Said(tuple(map(str, ids)), clock.milliseconds)

    def _pixels(self, photo: Path) -> torch.Tensor:
        """`(1, 3, side, side)`, -1 to 1, as both models' processors give it."""
        side = self._architecture.side
        pixels = image.load(photo, side, side).astype(np.float32) / 127.5 - 1
        return torch.from_numpy(pixels.transpose(2, 0, 1)[np.newaxis].copy())

    def _generate(self, pixels: torch.Tensor, words: int) -> list[int]:
        inputs = {"pixel_values": pixels}
        if self._prompt is not None:
            # Of each prompt several photos.
            inputs = {"pixel_values": pixels[:, np.newaxis], "input_ids": self._prompt}
        with torch.inference_mode():
            tokens = self._model.generate(
                **inputs, min_new_tokens=words, max_new_tokens=words, do_sample=False, num_beams=1
            )
        before = 1 if self._prompt is None else self._prompt.shape[1]
        ids: list[int] = tokens[0, before:].tolist()
        return ids


def _prompt(architecture: Architecture) -> torch.Tensor:
    """`(1, tokens)`: any words around the tokens that the photo takes the place of."""
    text = torch.arange(10, 10 + architecture.prompt_tokens)
    photo = torch.full((architecture.image_tokens,), int(architecture.whole["image_token_id"]))
    half = architecture.prompt_tokens // 2
    return torch.cat([text[:half], photo, text[half:]])[np.newaxis]
