"""Strict JSON into frozen dataclasses and back."""

from __future__ import annotations

import dataclasses

import pytest

from edgecap import schema
from edgecap.schema import SchemaError


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float


@dataclasses.dataclass(frozen=True)
class Drawing:
    name: str
    points: tuple[Point, ...]
    colours: dict[str, Point]
    sure: bool
    note: Point | None
    settings: dict[str, str | bool | int | float]


DRAWING = Drawing(
    "naïve", (Point(1, 2.5), Point(-3, 0.0)), {"red": Point(0, 1.0)}, True, None,
    {"a": 1, "b": 2.5, "c": "d", "e": False},
)  # fmt: skip


def changed(**fields):
    return {**schema.to_value(DRAWING), **fields}


def read(value):
    return schema.from_value(Drawing, value)


def test_there_and_back_is_the_same():
    assert read(schema.parse(schema.canonical(schema.to_value(DRAWING)))) == DRAWING
    noted = dataclasses.replace(DRAWING, note=Point(4, 5.0))
    assert read(schema.to_value(noted)) == noted


def test_settings_keep_their_types():
    settings = read(schema.to_value(DRAWING)).settings
    assert [type(value) for value in settings.values()] == [int, float, str, bool]


def test_a_whole_number_is_a_float_where_one_is_expected():
    y = read(changed(points=[{"x": 1, "y": 2}])).points[0].y
    assert (type(y), y) == (float, 2.0)


def test_canonical_is_one_spelling():
    assert schema.canonical({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'.encode()


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": 3}, "name"),
        ({"name": None}, "name"),
        ({"points": {}}, "points"),
        ({"points": [{"x": 1}]}, r"points\[0\]\.y is missing"),
        ({"points": [{"x": 1, "y": 2, "z": 3}]}, r"points\[0\]\.z is unknown"),
        ({"points": [{"x": 1.0, "y": 2}]}, r"points\[0\]\.x"),
        ({"points": [{"x": True, "y": 2}]}, r"points\[0\]\.x"),
        ({"points": [{"x": 1, "y": True}]}, r"points\[0\]\.y"),
        ({"points": [{"x": 1, "y": "2"}]}, r"points\[0\]\.y"),
        ({"points": [[1, 2]]}, r"points\[0\]"),
        ({"colours": []}, "colours"),
        ({"colours": {"red": 1}}, r"colours\.red"),
        ({"sure": 1}, "sure"),
        ({"note": 7}, "note"),
        ({"settings": {"a": None}}, r"settings\.a"),
        ({"settings": {"a": []}}, r"settings\.a"),
        ({"more": 1}, "more is unknown"),
    ],
)
def test_whatever_does_not_fit_is_refused_by_its_place(fields, where):
    with pytest.raises(SchemaError, match=where):
        read(changed(**fields))


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_only_an_object_is_a_record(value):
    with pytest.raises(SchemaError, match="expected an object"):
        read(value)


@dataclasses.dataclass(frozen=True)
class Dated:
    name: str
    year: int | None = None


def test_a_field_that_came_later_may_be_absent():
    assert schema.from_value(Dated, {"name": "a"}) == Dated("a")
    assert schema.to_value(Dated("a")) == {"name": "a"}
    assert schema.from_value(Dated, schema.to_value(Dated("a", 7))) == Dated("a", 7)
    with pytest.raises(SchemaError, match="year"):
        schema.from_value(Dated, {"name": "a", "year": "7"})
    with pytest.raises(SchemaError, match="name is missing"):
        schema.from_value(Dated, {"year": 7})


def test_a_missing_field_is_named():
    value = changed()
    del value["sure"]
    with pytest.raises(SchemaError, match="sure is missing"):
        read(value)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[" * 100_000, "too deeply"),
        (b'{"a":' * 100_000, "too deeply"),
    ],
)
def test_what_is_no_strict_json_is_refused(content, part):
    with pytest.raises(SchemaError, match=part):
        schema.parse(content)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 400])
def test_numbers_beyond_floats_are_refused(number):
    value = schema.parse(b'{"x": 1, "y": %s}' % number)
    with pytest.raises(SchemaError, match="y: expected float"):
        schema.from_value(Point, value)


def test_a_number_too_long_to_read_is_refused():
    with pytest.raises(SchemaError):
        schema.from_value(Point, schema.parse(b'{"x": %s, "y": 1}' % (b"9" * 10_000)))
