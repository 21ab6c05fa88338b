"""A caption with the engine and nothing else: `python bare.py BUNDLE PHOTO THREADS`.

The same graphs on the same photo, as short as one would write it: no command line, no hash, no
limit, no error is looked after. What edgecap takes beyond it is what its checks cost.
"""

import json
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

START, END = 1, 3

bundle, photo, threads = sys.argv[1:]
with open(f"{bundle}/manifest.json", encoding="utf-8") as file:  # noqa: PTH123
    manifest = json.load(file)
with open(f"{bundle}/tokenizer.json", encoding="utf-8") as file:  # noqa: PTH123
    words = json.load(file)["words"]


def load(name, count):
    """The graph's interpreter, and the numbers of its inputs and outputs by their names."""
    graph = Interpreter(f"{bundle}/{name}.tflite", num_threads=count)
    graph.allocate_tensors()
    runner = graph.get_signature_runner()
    details = runner.get_input_details(), runner.get_output_details()
    return graph, *({key: one["index"] for key, one in side.items()} for side in details)


width, height = manifest["input"]["width"], manifest["input"]["height"]
image = Image.open(photo)
image.draft("RGB", (2 * width, 2 * height))
pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
encoder, encoder_inputs, encoder_outputs = load("encoder", int(threads))
decoder, decoder_inputs, decoder_outputs = load("decoder", 1)
encoder.set_tensor(next(iter(encoder_inputs.values())), pixels[np.newaxis])
encoder.invoke()
for name, index in encoder_outputs.items():
    decoder.set_tensor(decoder_inputs[name], encoder.get_tensor(index))
token, said = START, []
while len(said) < manifest["maximum_words"]:
    decoder.set_tensor(decoder_inputs["token"], np.array([token], np.int32))
    decoder.invoke()
    decoder.set_tensor(decoder_inputs["state"], decoder.get_tensor(decoder_outputs["state"]))
    token = int(decoder.get_tensor(decoder_outputs["scores"])[0, END:].argmax()) + END
    if token == END:
        break
    said.append(words[token])
print(" ".join(said).replace(" '", "'"))
