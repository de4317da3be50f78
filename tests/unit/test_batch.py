"""Samples of one batch that InfluxDB would merge."""

from __future__ import annotations

from collectors.core.batch import Distinct
from collectors.core.line_protocol import FieldValue, Metric, Series


def admitted(*samples: tuple[str, dict[str, FieldValue], int | None]) -> tuple[list[bool], list[str]]:
    said: list[str] = []
    distinct = Distinct(said.append)
    return [
        distinct.admits(Metric(Series("temp", {"sensor": name}), fields, time)) for name, fields, time in samples
    ], said


def test_samples_of_other_series_or_times_are_all_kept() -> None:
    assert admitted(("a", {"temp": 1.0}, 7), ("b", {"temp": 2.0}, 7), ("a", {"temp": 3.0}, 8)) == ([True] * 3, [])


def test_another_value_of_the_same_field_is_a_loss() -> None:
    kept, said = admitted(("a", {"temp": 1.0}, 7), ("a", {"temp": 2.0}, 7), ("a", {"temp": 2.0, "more": 1}, 7))
    assert kept == [True, False, False]
    assert (
        said
        == ["two samples of temp,sensor=a have the same time, and InfluxDB keeps one of them: the second is left out"]
        * 2
    )


def test_other_fields_are_merged_and_no_loss() -> None:
    samples: list[tuple[str, dict[str, FieldValue], int | None]] = [
        ("a", {"total": 1}, None),
        ("a", {"in": 2}, None),
        ("a", {"in": 2, "total": 1}, None),
        ("a", {"in": 3}, None),
    ]
    kept, said = admitted(*samples)
    assert kept == [True, True, False, False]
    assert len(said) == 1


def test_the_same_values_again_are_left_out_without_an_error() -> None:
    assert admitted(("a", {"temp": 1.0}, 7), ("a", {"temp": 1.0}, 7)) == ([True, False], [])


def test_names_that_become_equal_on_their_way_into_a_line_are_one_series() -> None:
    kept, said = admitted(("/mnt/a\rb", {"total": 1}, 7), ("/mnt/a\nb", {"total": 2}, 7))
    assert kept == [True, False]
    assert len(said) == 1


def test_a_new_batch_knows_nothing_of_the_one_before() -> None:
    distinct = Distinct(lambda _: None)
    first, second = (Metric(Series("temp"), {"temp": value}, 7) for value in (1.0, 2.0))
    assert distinct.admits(first)
    distinct.clear()
    assert distinct.admits(second)
