"""Errors of a collector: all are counted, and the log stays readable however many there are."""

from __future__ import annotations

import pytest

from collectors.core import errors
from collectors.core.errors import ErrorReporter


def reporter() -> tuple[ErrorReporter, list[str]]:
    said: list[str] = []
    return ErrorReporter("system", said.append), said


def test_a_sentence_that_persists_is_logged_once_and_again_after_it_has_cleared() -> None:
    report, said = reporter()
    counts = []
    for failing in (True, True, False, True):
        if failing:
            report.error("the sensor is gone")
        counts.append(report.take())
    assert counts == [1, 1, 0, 1]
    assert said == ["E! system: the sensor is gone"] * 2


def test_sentences_that_differ_in_their_numbers_only_are_logged_a_bounded_number_of_times() -> None:
    report, said = reporter()
    total = 0
    for batch in range(500):
        report.error(f"/proc/diskstats has b'8 0 sda {batch * 17} {batch}' where counters were expected")
        report.error("the sensor is gone")
        total += report.take()
    assert total == 1000
    assert len(said) == errors._MAX_LINES + 1
    assert said[0] == "E! system: /proc/diskstats has b'8 0 sda 0 0' where counters were expected"
    assert said[-1].endswith("(and more like this one, which are only counted)")


def test_after_a_batch_without_them_they_are_logged_again() -> None:
    report, said = reporter()
    for number in range(errors._MAX_LINES + 5):
        report.error(f"a value of {number}")
    report.take()
    report.take()
    report.error("a value of 7")
    assert said[-1] == "E! system: a value of 7"
    assert len(said) == errors._MAX_LINES + 1


def test_disks_that_differ_in_their_number_are_each_named() -> None:
    report, said = reporter()
    for _ in range(3):
        for number in range(8):
            report.error(f"disk: /mnt/nas{number} does not answer")
        assert report.take() == 8
    assert len(said) == 8


@pytest.mark.parametrize("count", [10, 100_000])
def test_the_memory_of_a_batch_of_errors_is_bounded(count: int) -> None:
    report, said = reporter()
    for number in range(count):
        report.error(f"line {number}: expected a number")
    assert len(said) <= errors._MAX_LINES
    assert len(report._now) <= errors._MAX_LINES
    assert report.take() == count


def test_notes_are_logged_once_in_bounded_number_and_counted_never() -> None:
    report, said = reporter()
    for _ in range(2):
        for number in range(1000):
            report.note(f"disk: /run/pod{number} is left out")
    assert len(said) == errors._MAX_NOTES
    assert report.take() == 0
