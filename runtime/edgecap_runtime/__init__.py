"""Captions on the device: numpy, Pillow and a TFLite engine, never TensorFlow.

from edgecap_runtime import Captioner

print(Captioner.load().caption("photo.jpg").text)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgecap_runtime.captioner import Captioner as Captioner
    from edgecap_runtime.captioner import Result as Result
    from edgecap_runtime.captioner import default_bundle as default_bundle
    from edgecap_runtime.pipeline import Caption as Caption

__all__ = ["Caption", "Captioner", "Result", "default_bundle"]


def __getattr__(name: str) -> Any:
    # numpy and Pillow take most of a cold start: they are imported at the first use.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Caption":
        from edgecap_runtime import pipeline

        return pipeline.Caption
    from edgecap_runtime import captioner

    return getattr(captioner, name)
