"""Who imports whom, and that nothing on the device needs what only a workstation has."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import readme_help

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "edgecap": ROOT,
    "edgecap_runtime": ROOT / "runtime",
    "edgecap_bench": ROOT / "benchmarks",
    "edgecap_converter": ROOT / "converter",
}
BASE = ("edgecap", "edgecap_runtime", "edgecap_bench")
TENSORFLOW = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization")
# What only the extra `cluster` brings.
CLUSTER = ("ray", "pyarrow", "fsspec")

# Package or module -> those of our packages that it may import; the longest name that fits
# counts. `edgecap.commands` stands for the command line here: nobody else may import it.
ALLOWED = {
    "edgecap": {"edgecap"},
    "edgecap.__main__": {"edgecap", "edgecap.commands"},
    "edgecap.cli": {"edgecap", "edgecap.commands"},
    "edgecap.commands": {"edgecap", "edgecap.commands", *FOLDERS},
    "edgecap_runtime": {"edgecap", "edgecap_runtime"},
    "edgecap_bench": {"edgecap", "edgecap_runtime", "edgecap_bench"},
    "edgecap_converter": {"edgecap", "edgecap_converter"},
    "edgecap_converter.verify": {"edgecap", "edgecap_converter", "edgecap_runtime"},
    "edgecap_converter.grid.timing": set(FOLDERS),
}


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    folder = FOLDERS[package]
    found = {}
    for path in sorted((folder / package).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = {name: path for package in FOLDERS for name, path in modules(package).items()}


def imported(path: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, wherever it stands in it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who is imported"
            # `from edgecap import cli` imports a module too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            # importlib.import_module("name"), __import__("name")
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            called = node.func.id if isinstance(node.func, ast.Name) else called
            if called in ("import_module", "__import__"):
                yield str(node.args[0].value)


def is_part(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def python(code: str) -> str:
    """What a fresh Python prints that sees our packages and whatever is installed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, FOLDERS.values()))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_package_was_found() -> None:
    for package in FOLDERS:
        assert package in MODULES
    assert {"edgecap.cli", "edgecap.commands.caption", "edgecap_converter.verify"} <= set(MODULES)


@pytest.mark.parametrize("name", [n for n in MODULES if n.split(".")[0] in BASE])
def test_base_names_no_tensorflow_and_no_pickle(name: str) -> None:
    roots = {one.split(".")[0] for one in imported(MODULES[name])}
    assert not roots & {*TENSORFLOW, "pickle"}


@pytest.mark.parametrize("name", MODULES)
def test_no_file_is_read_by_what_could_run_code(name: str) -> None:
    """No pickle, and no model but our own graphs: Keras's files may hold code as well."""
    assert not {one.split(".")[0] for one in imported(MODULES[name])} & {"pickle", "dill", "joblib"}
    for node in ast.walk(ast.parse(MODULES[name].read_bytes())):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            assert called not in ("load_model", "model_from_json", "model_from_config"), node.lineno
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert isinstance(keyword.value, ast.Constant)
                    assert keyword.value.value is False


@pytest.mark.parametrize("name", MODULES)
def test_dependencies_point_one_way(name: str) -> None:
    allowed = ALLOWED[max((rule for rule in ALLOWED if is_part(name, rule)), key=len)]
    for one in imported(MODULES[name]):
        if one.split(".")[0] in FOLDERS:
            command_line = is_part(one, "edgecap.commands") or is_part(one, "edgecap.cli")
            target = "edgecap.commands" if command_line else one.split(".")[0]
            assert target in allowed, f"{name} may not import {one}"


def test_base_can_be_imported_without_tensorflow_and_ray() -> None:
    names = [n for n in MODULES if n.split(".")[0] in BASE and not n.endswith("__main__")]
    imports = python(
        f"""
import importlib, sys

class NoExtras:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {(*TENSORFLOW, *CLUSTER)}:
            raise ImportError(name + " is kept out by this test")

sys.meta_path.insert(0, NoExtras())
for name in {names}:
    importlib.import_module(name)
print(*(name for name in {(*TENSORFLOW, *CLUSTER)} if name in sys.modules))
"""
    )
    assert not imports


@pytest.mark.parametrize("name", [*FOLDERS, "edgecap.cli"])
def test_importing_a_package_imports_nothing_heavy(name: str) -> None:
    heavy = ("numpy", "PIL", "ai_edge_litert", "tflite_runtime", *TENSORFLOW, *CLUSTER)
    imports = python(f"import sys, {name}; print(*(n for n in {heavy} if n in sys.modules))")
    assert not imports


def test_help_in_the_readme_is_not_stale() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    # Words only: how they are laid out is up to click's version.
    assert readme_help.renewed(readme).split() == readme.split(), "run  make readme"
