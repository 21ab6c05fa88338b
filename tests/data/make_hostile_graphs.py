"""Makes encoders for the tiny bundle that turn on their engine when they see a white photo.

    python tests/data/make_hostile_graphs.py

writes `hangs.tflite`, which never ends, and `grows.tflite`, which asks for memory without an end.
On any other photo both say the same of it, and all hashes can be right: a graph is a program.
Needs the extra `convert`.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / part) for part in (".", "converter")]

from edgecap_converter.frameworks import import_tensorflow  # noqa: E402

SHAPES = {"features": (1, 16, 32), "keys": (1, 16, 32), "state": (1, 128)}


def main() -> None:
    """Writes both."""
    tf = import_tensorflow()
    photo = tf.TensorSpec((1, 32, 32, 3), tf.uint8, name="photo")

    def is_white(pixels: Any) -> Any:
        return tf.reduce_min(tf.cast(pixels, tf.float32)) > 254.0

    def answer(seen: Any) -> Any:
        # Depends on what the loop left behind, or it would be thrown away.
        return {name: tf.fill(shape, 0.01) + 0.0 * seen for name, shape in SHAPES.items()}

    @tf.function(autograph=False, input_signature=[photo])
    def hangs(photo: Any) -> Any:
        step = tf.where(is_white(photo), 0.0, 1.0)
        (seen,) = tf.while_loop(lambda i: i < 3.0, lambda i: (i + step,), (tf.zeros(()),))
        return answer(seen)

    @tf.function(autograph=False, input_signature=[photo])
    def grows(photo: Any) -> Any:
        most = tf.where(is_white(photo), 60.0, 1.0)
        _, held = tf.while_loop(
            lambda i, _held: i < most,
            lambda i, held: (i + 1.0, tf.concat([held, held], 0)),
            (tf.zeros(()), tf.zeros((1_000,))),
            shape_invariants=(tf.TensorShape(()), tf.TensorShape((None,))),
        )
        return answer(tf.reduce_sum(held))

    for function in (hangs, grows):
        path = HERE / f"{function.python_function.__name__}.tflite"
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(tf.Module(), folder, signatures={"encode": function})
            converter = tf.lite.TFLiteConverter.from_saved_model(folder, ["encode"])
            path.write_bytes(converter.convert())
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
