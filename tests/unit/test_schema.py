"""Declarations of measurements, and where a metric differs from them."""

from __future__ import annotations

import pytest

from collectors.core.line_protocol import FieldValue, Metric, Series
from collectors.core.schema import COLLECTOR, Field, Measurement, Tag
from tests.schema_check import violations

ROOM = Measurement(
    "room",
    "A room.",
    (Tag("device", "The device."), Tag("simulated", "Whether it is.", optional=True)),
    (
        Field("celsius", float, "celsius", "Temperature.", -40, 125),
        Field("count", int, "", "People.", 0),
        Field("open", bool, "", "Window."),
        Field("label", str, "", "Name."),
    ),
)


def said(fields: dict[str, FieldValue], tags: dict[str, str] | None = None, name: str = "room") -> list[str]:
    return list(violations(Metric(Series(name, {"device": "a"} if tags is None else tags), fields), (ROOM, COLLECTOR)))


def test_a_metric_as_declared_has_no_violation() -> None:
    assert said({"celsius": -40.0, "count": 0, "open": True, "label": ""}) == []


def test_optional_tags_may_be_there_and_absent() -> None:
    assert said({"count": 1}, {"device": "a", "simulated": "true"}) == []


def test_the_pipeline_s_tags_belong_to_every_line() -> None:
    assert said({"count": 1}, {"device": "a", "host": "pi", "site": "home"}) == []


def test_fields_may_be_absent_since_no_data_is_different_from_zero() -> None:
    assert said({"label": "a"}) == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kelvin": 1.0}, "room: field 'kelvin' is not declared"),
        ({"celsius": 20}, "room: field 'celsius' is int, declared as float"),
        ({"count": 1.0}, "room: field 'count' is float, declared as int"),
        ({"count": True}, "room: field 'count' is bool, declared as int"),
        ({"open": 1}, "room: field 'open' is int, declared as bool"),
        ({"celsius": 125.1}, "room: field 'celsius' is 125.1, outside -40 to 125 celsius"),
        ({"count": -1}, "room: field 'count' is -1, outside 0 to None"),
        ({"celsius": float("nan")}, "room: field 'celsius' is nan, outside -40 to 125 celsius"),
    ],
)
def test_each_difference_of_a_field_is_a_sentence(fields: dict[str, FieldValue], sentence: str) -> None:
    assert said(fields) == [sentence]


def test_undeclared_and_missing_tags_are_named() -> None:
    assert said({"count": 1}, {"colour": "red"}) == [
        "room: tag 'colour' is not declared",
        "room: tag 'device' is missing",
    ]


def test_an_undeclared_measurement_is_named() -> None:
    assert said({"count": 1}, {}, "roof") == ["measurement 'roof' is not declared"]


def test_a_field_is_found_by_its_name() -> None:
    assert ROOM.field("count").unit == ""
    with pytest.raises(KeyError, match="measurement 'room' declares no field 'kelvin'"):
        ROOM.field("kelvin")


def test_a_range_without_a_bound_admits_all_of_the_kind() -> None:
    field = Field("f", float, "", "Any.")
    assert field.admits(-1e300)
    assert not field.admits(1)
