"""The one place that imports TensorFlow."""

import ctypes
import importlib.util
import os
import sys
from typing import Any

from edgecap.errors import MissingExtraError

# glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def require_extra(*others: str) -> None:
    """Finds out at once whether `import_tensorflow`, which takes seconds, will succeed.

    Args:
        others: packages of the extra that are needed beside those that every conversion needs.

    Raises:
        MissingExtraError: naming the first package that is not installed.
    """
    for package in (
        "tensorflow",
        "tf_keras",
        "tensorflow_model_optimization",
        "nltk",
        "tqdm",
        *others,
    ):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("edgecap convert", "convert", package)


def import_tensorflow() -> Any:
    """TensorFlow with Keras 2, which tensorflow-model-optimization needs.

    Raises:
        MissingExtraError: if it is not installed.
    """
    # Both are read once, when TensorFlow is imported.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    require_extra()
    import tensorflow

    # Captions of several lengths are as many graphs, on purpose: it would warn of that.
    tensorflow.get_logger().setLevel("ERROR")
    return tensorflow


def import_optimization() -> Any:
    """tensorflow-model-optimization: pruning and quantization-aware training.

    Raises:
        MissingExtraError: if it is not installed.
    """
    import_tensorflow()
    import tensorflow_model_optimization

    return tensorflow_model_optimization


def make_reproducible() -> Any:
    """TensorFlow with kernels that give the same result for the same input, run after run."""
    tensorflow = import_tensorflow()
    tensorflow.config.experimental.enable_op_determinism()
    return tensorflow


def keep_freed_memory() -> None:
    """Lets this process keep what it frees, for what it allocates next. glibc alone needs it.

    It gives large blocks back at once, and a training step's have to be fetched again page by
    page: that was a quarter of the time of a step.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def forget_names() -> None:
    """Starts Keras's automatic layer names anew, so that they depend on nothing built before.

    The names end up in exported files, whose bytes would differ otherwise.
    """
    import_tensorflow().keras.backend.reset_uids()
