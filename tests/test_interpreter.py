"""Choosing an engine, and holding a graph to what the manifest says of it."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import types

import numpy as np
import pytest

from edgecap.errors import BundleError, EngineError, UsageError
from edgecap.manifest import Graph, Tensor
from edgecap_runtime import interpreter
from edgecap_runtime.interpreter import Engine, Network, find_engine

PACKAGES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}


def without(monkeypatch, *packages):
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.setitem(sys.modules, f"{package}.interpreter", None)


def pretend(monkeypatch, package, version):
    """An installed engine of another version than the one that is."""
    parent, child = types.ModuleType(package), types.ModuleType(f"{package}.interpreter")
    parent.__version__, parent.__path__, child.Interpreter = version, [], object
    monkeypatch.setitem(sys.modules, package, parent)
    monkeypatch.setitem(sys.modules, f"{package}.interpreter", child)


def complaint(error_type, action):
    with pytest.raises(error_type) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_installed_engine_is_found_with_its_version():
    engine = find_engine()
    package = importlib.import_module(PACKAGES[engine.distribution])
    assert engine.version == package.__version__
    assert engine.interpreter.__name__ == "Interpreter"


def test_litert_is_taken_before_tflite_runtime(monkeypatch):
    monkeypatch.setattr(np, "__version__", "1.26.4")
    pretend(monkeypatch, "tflite_runtime", "2.14.0")
    pretend(monkeypatch, "ai_edge_litert", "2.3.0")
    assert find_engine().distribution == "ai-edge-litert"
    assert find_engine("tflite-runtime").distribution == "tflite-runtime"
    without(monkeypatch, "ai_edge_litert")
    assert find_engine().distribution == "tflite-runtime"


@pytest.mark.parametrize(
    ("backend", "command"),
    [
        ("auto", "pip install ai-edge-litert"),
        ("litert", "pip install ai-edge-litert"),
        ("tflite-runtime", "pip install tflite-runtime 'numpy<2'"),
    ],
)
def test_no_engine_says_what_to_install(monkeypatch, backend, command):
    without(monkeypatch, *PACKAGES.values())
    assert command in complaint(EngineError, lambda: find_engine(backend))


def test_an_engine_whose_library_cannot_be_loaded_is_not_there(monkeypatch):
    without(monkeypatch, "tflite_runtime")

    def refuse(_name):
        raise OSError("libLiteRt.so: cannot open shared object file\nno such file")

    monkeypatch.setattr(interpreter.importlib, "import_module", refuse)
    assert "libLiteRt.so" in complaint(EngineError, find_engine)


def test_tflite_runtime_beside_numpy_2_is_explained(monkeypatch):
    pretend(monkeypatch, "tflite_runtime", "2.14.0")
    monkeypatch.setattr(np, "__version__", "2.4.6")
    message = complaint(EngineError, lambda: find_engine("tflite-runtime"))
    assert "2.4.6" in message
    assert "pip install 'numpy<2'" in message


def test_an_unknown_backend_names_those_there_are():
    assert "litert, tflite-runtime" in complaint(UsageError, lambda: find_engine("onnx"))


@pytest.mark.parametrize("version", ["2.1.6", "2.1.10", "2.2", "3.0.0rc1", "10.0"])
def test_engines_as_old_as_the_bundle_allows_or_newer_pass(version):
    Engine("ai-edge-litert", version, None).check_age({"ai-edge-litert": "2.1.6"})


@pytest.mark.parametrize(("version", "needed"), [("2.2", "2.2.0"), ("2.2.0", "2.2")])
def test_zeros_at_the_end_of_a_version_are_nothing(version, needed):
    Engine("ai-edge-litert", version, None).check_age({"ai-edge-litert": needed})


@pytest.mark.parametrize("version", ["2.1.5", "2.0.99", "1.4.0", "2.1", "2.1rc7"])
def test_an_older_engine_is_refused_with_the_command_that_helps(version):
    engine = Engine("ai-edge-litert", version, None)
    message = complaint(EngineError, lambda: engine.check_age({"ai-edge-litert": "2.1.6"}))
    assert f"this is {version}" in message
    assert "pip install 'ai-edge-litert>=2.1.6'" in message


def test_no_release_is_asked_for_that_does_not_exist():
    engine = Engine("tflite-runtime", "2.14.0", None)
    message = complaint(EngineError, lambda: engine.check_age({"tflite-runtime": "2.17.0"}))
    assert "needs tflite-runtime 2.17.0 or newer, this is 2.14.0: there is none" in message
    assert "pip install" not in message
    engine = Engine("tflite-runtime", "2.13.0", None)
    message = complaint(EngineError, lambda: engine.check_age({"tflite-runtime": "2.14.0"}))
    assert "pip install 'tflite-runtime>=2.14.0'" in message


@pytest.mark.parametrize("oldest", [{}, {"tflite-runtime": "2.14.0"}])
def test_an_engine_that_the_bundle_was_not_made_for_is_refused(oldest):
    engine = Engine("ai-edge-litert", "2.3.0", None)
    message = complaint(EngineError, lambda: engine.check_age(oldest))
    assert "this is ai-edge-litert 2.3.0" in message
    assert all(name in message for name in oldest)


@pytest.fixture(scope="module")
def decoder(opened):
    return Network(opened.decoder, opened.manifest.decoder, find_engine(), threads=1)


@pytest.fixture(scope="module")
def inputs(opened):
    """A value for each input of the decoder."""
    generator = np.random.default_rng(0)
    values = {
        tensor.name: generator.normal(size=tensor.shape).astype(np.float32)
        for tensor in opened.manifest.decoder.inputs
    }
    values["token"] = np.ones(1, np.int32)
    return values


def scores(network):
    return network.get("scores").copy()


def test_inputs_set_once_are_there_at_every_run(decoder, inputs):
    for name, value in inputs.items():
        decoder.set(name, value)
    decoder.invoke()
    first = scores(decoder)
    decoder.set("token", np.full(1, 5, np.int32))
    decoder.invoke()
    assert not np.array_equal(scores(decoder), first)
    decoder.set("token", inputs["token"])
    decoder.invoke()
    np.testing.assert_array_equal(scores(decoder), first)


def test_read_copies_what_get_returns_and_keeps_it_over_the_next_run(decoder, inputs):
    for name, value in inputs.items():
        decoder.set(name, value)
    decoder.invoke()
    expected = decoder.get("scores")
    into = np.empty_like(expected)
    decoder.read("scores", into=into)
    np.testing.assert_array_equal(into, expected)
    decoder.set("token", np.full(1, 5, np.int32))
    decoder.invoke()
    np.testing.assert_array_equal(into, expected)
    assert not np.array_equal(decoder.get("scores"), expected)


def test_an_input_of_another_shape_or_type_is_refused_in_one_line(decoder, inputs):
    assert "'step'" in complaint(EngineError, lambda: decoder.set("token", np.ones(2, np.int32)))
    complaint(EngineError, lambda: decoder.set("token", np.ones(1, np.float32)))
    complaint(EngineError, lambda: decoder.set("state", inputs["state"][:, :-1]))


def with_tensor(graph: Graph, side: str, which: str, **fields: object) -> Graph:
    changed = tuple(
        dataclasses.replace(tensor, **fields) if tensor.name == which else tensor
        for tensor in getattr(graph, side)
    )
    return dataclasses.replace(graph, **{side: changed})


@pytest.mark.parametrize(
    ("side", "name", "fields"),
    [
        ("inputs", "token", {"name": "word"}),
        ("inputs", "token", {"dtype": "int64"}),
        ("inputs", "state", {"shape": (1, 3)}),
        ("outputs", "scores", {"shape": (1, 5)}),
        ("outputs", "scores", {"name": "logits"}),
        ("outputs", "state", {"dtype": "float16"}),
    ],
)
def test_a_graph_other_than_the_manifest_says_is_refused(opened, side, name, fields):
    graph = with_tensor(opened.manifest.decoder, side, name, **fields)
    message = complaint(
        BundleError, lambda: Network(opened.decoder, graph, find_engine(), threads=1)
    )
    assert "the manifest says" in message


def test_a_graph_with_a_tensor_that_the_manifest_leaves_out_is_refused(opened):
    graph = opened.manifest.decoder
    graph = dataclasses.replace(graph, inputs=graph.inputs[:-1])
    complaint(BundleError, lambda: Network(opened.decoder, graph, find_engine(), threads=1))


def test_a_graph_without_the_signature_is_refused(opened):
    graph = dataclasses.replace(opened.manifest.decoder, signature="serve")
    message = complaint(
        EngineError, lambda: Network(opened.decoder, graph, find_engine(), threads=1)
    )
    assert "serve" in message


# tflite-runtime crashes on longer ones; the hashes in the manifest keep them from it.
CUT_AT = [0, 1, 7, 100, 1_000, -1] if find_engine().distribution == "ai-edge-litert" else [0, 1, 7]


@pytest.mark.parametrize("length", CUT_AT)
def test_cut_off_graphs_are_refused_in_one_line(opened, length):
    content = opened.decoder[:length]
    complaint(
        EngineError,
        lambda: Network(content, opened.manifest.decoder, find_engine(), threads=1),
    )


def test_something_else_than_a_graph_is_refused_in_one_line():
    graph = Graph("step", (Tensor("token", (1,), "int32"),), (), 0)
    complaint(EngineError, lambda: Network(b"not a graph" * 99, graph, find_engine(), threads=1))
