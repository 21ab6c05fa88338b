"""Strict JSON <-> frozen dataclasses: every field present, no other, each of its type.

Understands what manifests are made of: str, int, float, bool, None, nested dataclasses,
`tuple[X, ...]`, `dict[str, X]` and unions of these. A field whose default is None came later:
it is left out where it is None, so that what was written before it reads, and hashes, as ever.
"""

import dataclasses
import functools
import json
import sys
import types
import typing
from typing import Any, TypeVar

Record = TypeVar("Record")


class SchemaError(ValueError):
    """The value does not fit; the message says where."""


def _no_constant(name: str) -> typing.NoReturn:
    raise SchemaError(f"{name} is not allowed")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise SchemaError("a key stands twice in one object")
    return value


def parse(content: bytes) -> Any:
    """JSON without NaN, infinities or duplicate keys.

    Raises:
        SchemaError: if it is not that, too deeply nested ones included.
    """
    try:
        return json.loads(
            content.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates
        )
    except RecursionError:
        raise SchemaError("nested too deeply") from None
    except ValueError as error:
        raise SchemaError(f"not JSON: {error}") from error


def canonical(value: Any) -> bytes:
    """The one JSON spelling of a value, for hashing: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def to_value(record: Any) -> Any:
    """A dataclass as JSON-able lists and dictionaries."""
    if dataclasses.is_dataclass(record):
        items = ((f, getattr(record, f.name)) for f in dataclasses.fields(record))
        return {f.name: to_value(v) for f, v in items if v is not None or f.default is not None}
    if isinstance(record, (tuple, list)):
        return [to_value(item) for item in record]
    if isinstance(record, dict):
        return {key: to_value(item) for key, item in record.items()}
    return record


@functools.cache
def _optional(record: type) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(record) if f.default is None)


@functools.cache
def _hints(record: type) -> dict[str, Any]:
    return typing.get_type_hints(record)


def from_value(record: type[Record], value: Any, where: str = "") -> Record:
    """A dataclass from what `parse` gave.

    Raises:
        SchemaError: naming the field, what was expected and what came.
    """
    return typing.cast("Record", _read(record, value, where))


def _read(expected: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(expected) and isinstance(expected, type):
        if not isinstance(value, dict):
            raise SchemaError(f"{where or 'content'}: expected an object")
        hints = _hints(expected)
        for name in hints.keys() - value.keys() - _optional(expected):
            raise SchemaError(f"{_join(where, name)} is missing")
        for name in value.keys() - hints.keys():
            raise SchemaError(f"{_join(where, str(name)[:40])} is unknown")
        present = ((name, hints[name]) for name in hints if name in value)
        return expected(**{n: _read(hint, value[n], _join(where, n)) for n, hint in present})
    origin = typing.get_origin(expected)
    if origin is tuple and isinstance(value, list):
        item = typing.get_args(expected)[0]
        return tuple(_read(item, entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if origin is dict and isinstance(value, dict):
        item = typing.get_args(expected)[1]
        return {key: _read(item, entry, _join(where, key[:40])) for key, entry in value.items()}
    if origin in (types.UnionType, typing.Union):
        for choice in typing.get_args(expected):
            try:
                return _read(choice, value, where)
            except SchemaError:
                continue
    # bool is an int to Python, and 1 a fine float to JSON: neither surprise is wanted. A number
    # with too large an exponent is infinite to Python.
    elif expected is float:
        if type(value) in (int, float) and abs(value) <= sys.float_info.max:
            return float(value)
    elif isinstance(expected, type) and type(value) is expected:
        return value
    name = getattr(expected, "__name__", str(expected))
    raise SchemaError(f"{where}: expected {name}, got {type(value).__name__}")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
