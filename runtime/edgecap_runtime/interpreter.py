"""The engine that runs the graphs: the one place that knows LiteRT from tflite-runtime.

Both have the same `Interpreter` class. LiteRT is many times faster; tflite-runtime is smaller
and exists for 32-bit Arm.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from edgecap.errors import BundleError, EngineError, UsageError
from edgecap_runtime.engines import COMMANDS, DISTRIBUTIONS, Platform
from edgecap_runtime.options import BACKENDS

if TYPE_CHECKING:
    from edgecap.manifest import Graph, Tensor

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Engine(NamedTuple):
    """An installed engine: its distribution, that one's version, its `Interpreter` class."""

    distribution: str
    version: str
    interpreter: Any

    def check_age(self, oldest: Mapping[str, str]) -> None:
        """Compares with a manifest's `oldest_engines`, before any graph is loaded.

        Raises:
            EngineError: if this engine is too old for the bundle, or not made for it.
        """
        needed = oldest.get(self.distribution)
        if needed is None:
            others = ", ".join(f"{name} {version}" for name, version in sorted(oldest.items()))
            raise EngineError(
                f"the bundle needs one of {others or 'no known engine'} or newer, this is "
                f"{self.distribution} {self.version}: choose another engine with --backend, "
                "or convert the model for this one"
            )
        if _numbers(self.version) < _numbers(needed):
            raise EngineError(
                f"the bundle needs {self.distribution} {needed} or newer, this is "
                f"{self.version}: run  pip install '{self.distribution}>={needed}'"
            )


def find_engine(backend: str = "auto") -> Engine:
    """The engine to use; "auto" is LiteRT where it can be imported, tflite-runtime otherwise.

    Raises:
        UsageError: if `backend` is none of `BACKENDS`.
        EngineError: if that engine, or with "auto" any, is not installed or cannot work here.
    """
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}: use one of {', '.join(BACKENDS)}")
    reasons = []
    for name in DISTRIBUTIONS if backend == "auto" else (backend,):
        distribution, package = DISTRIBUTIONS[name]
        try:
            version = importlib.import_module(package).__version__
            # Importing more of it would print a page of numpy's advice.
            if name == "tflite-runtime" and _numbers(np.__version__) >= (2,):
                raise EngineError(
                    f"tflite-runtime needs numpy older than 2, this is {np.__version__}: "
                    "run  pip install 'numpy<2'"
                )
            module = importlib.import_module(f"{package}.interpreter")
            return Engine(distribution, version, module.Interpreter)
        # A shared library that the loader refuses is an OSError when ctypes loads it.
        except (ImportError, OSError) as error:
            reasons.append(f"{distribution} cannot be imported ({_one_line(error)})")
    advice = Platform.this().advice() if backend == "auto" else f"run  {COMMANDS[backend]}"
    raise EngineError(f"no engine: {', '.join(reasons)}: {advice}")


class Network:
    """One graph, loaded and ready; its tensors are known by their names in the manifest.

    `set`, `invoke` and `read` allocate no array. Not safe to use from two threads at once,
    nor after a fork (the engine's threads stay behind in the parent).

    Args:
        content: bytes of a `.tflite` file, which the engine uses in place. Their hash must have
            been checked: tflite-runtime crashes on a file that was cut off.
        graph: what the manifest says of it.
        engine: from `find_engine`.
        threads: how many threads the engine may use, at least 1.

    Raises:
        EngineError: if the engine refuses the graph.
        BundleError: if the graph is not what the manifest says.
    """

    def __init__(self, content: bytes, graph: Graph, engine: Engine, threads: int) -> None:
        self._name = graph.signature
        try:
            self._interpreter = engine.interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
            self._check_signature(graph)
        except (ValueError, RuntimeError) as error:
            raise EngineError(
                f"{engine.distribution} {engine.version} cannot load the graph '{self._name}' "
                f"({_one_line(error)}): make the bundle again, or upgrade the engine"
            ) from error
        # A view is made for each read: the engine does not run while one exists.
        self._views = {name: self._interpreter.tensor(i) for name, i in self._outputs.items()}

    def _check_signature(self, graph: Graph) -> None:
        # The runner must not live on: the engine takes its reference for a view in use.
        runner = self._interpreter.get_signature_runner(graph.signature)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        del runner
        _check_tensors(graph.signature, "inputs", graph.inputs, inputs)
        _check_tensors(graph.signature, "outputs", graph.outputs, outputs)
        self._inputs = {name: int(details["index"]) for name, details in inputs.items()}
        self._outputs = {name: int(details["index"]) for name, details in outputs.items()}
        # `invoke` runs the first subgraph; a signature may name another.
        run = {int(details["index"]) for details in self._interpreter.get_input_details()}
        if run != set(self._inputs.values()):
            raise BundleError(f"the graph '{self._name}' runs other inputs than its signature's")

    def set(self, name: str, value: Array) -> None:
        """Copies `value` into an input; it stays there for every `invoke` until set again.

        Raises:
            EngineError: if shape or dtype are not the input's.
        """
        try:
            self._interpreter.set_tensor(self._inputs[name], value)
        except (ValueError, RuntimeError) as error:
            raise self._failed(error) from error

    def invoke(self) -> None:
        """Runs the graph on what its inputs hold; other Python threads run meanwhile.

        Raises:
            EngineError: if the engine cannot.
        """
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise self._failed(error) from error

    def read(self, name: str, into: Array) -> None:
        """Copies an output into an array of the same shape and dtype."""
        np.copyto(into, self._views[name](), casting="no")

    def get(self, name: str) -> Array:
        """A new array with what an output holds."""
        value: Array = self._interpreter.get_tensor(self._outputs[name])
        return value

    def _failed(self, error: Exception) -> EngineError:
        return EngineError(
            f"the engine failed in the graph '{self._name}' ({_one_line(error)}): "
            "make the bundle again"
        )


def _check_tensors(
    graph: str, side: str, expected: tuple[Tensor, ...], found: Mapping[str, Any]
) -> None:
    names = {tensor.name for tensor in expected}
    if names != found.keys():
        raise BundleError(
            f"the graph '{graph}' has the {side} {', '.join(sorted(found))}, the manifest says "
            f"{', '.join(sorted(names))}: make the bundle again"
        )
    for tensor in expected:
        details = found[tensor.name]
        shape = tuple(int(side) for side in details["shape"])
        fixed = all(side >= 0 for side in details["shape_signature"])
        dtype = np.dtype(details["dtype"]).name
        if (shape, dtype) != (tensor.shape, tensor.dtype) or not fixed:
            raise BundleError(
                f"the graph '{graph}' has {dtype} {shape} for {tensor.name}, the manifest says "
                f"{tensor.dtype} {tensor.shape}: make the bundle again"
            )


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (2, 1, 6) for "2.1.6rc1"."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
