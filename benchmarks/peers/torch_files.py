"""Random weights of a real size, saved as published ones are: `python -m peers.torch_files`.

Runs in the environment `torch`. Arguments: a name of `architectures.json`, and the folder.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from peers.architectures import SMOLVLM, Architecture, architectures, parameters

SEED = 0


def build(name: str, architecture: Architecture) -> Any:
    """The model, with random weights as transformers draws them."""
    import torch
    import transformers

    torch.manual_seed(SEED)
    vision, text, whole = architecture.vision, architecture.text, architecture.whole
    if name == SMOLVLM:
        text = {"model_type": "llama", **text}
        configuration = transformers.Idefics3Config(vision_config=vision, text_config=text, **whole)
        return transformers.Idefics3ForConditionalGeneration(configuration)
    configuration = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**vision), transformers.GPT2Config(**text), **whole
    )
    return transformers.VisionEncoderDecoderModel(configuration)


def main(name: str, place: str) -> None:
    import torch

    architecture, folder = architectures()[name], Path(place)
    model = build(name, architecture)
    found = sum(one.numel() for one in model.parameters())
    if found != parameters(name):
        sys.exit(f"{name} has {found:,} weights: expected {parameters(name):,}")
    partial = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    model.to(getattr(torch, architecture.stored)).save_pretrained(partial)
    partial.rename(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
