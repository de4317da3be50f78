"""Errors of a collector: counted every time, said once until they clear."""

from __future__ import annotations

from collectors.core.errors import ErrorReporter


def test_an_error_is_logged_with_the_collector_s_name_and_counted() -> None:
    lines: list[str] = []
    report = ErrorReporter("pi", lines.append)
    report.error("the fan is gone")
    assert lines == ["E! pi: the fan is gone"]
    assert report.take() == 1


def test_a_sentence_that_comes_back_is_counted_and_not_said_again() -> None:
    lines: list[str] = []
    report = ErrorReporter("pi", lines.append)
    counts = []
    for _ in range(3):
        report.error("the fan is gone")
        report.error("the fan is gone")
        counts.append(report.take())
    assert lines == ["E! pi: the fan is gone"]
    assert counts == [2, 2, 2]


def test_a_sentence_absent_for_a_batch_is_logged_again() -> None:
    lines: list[str] = []
    report = ErrorReporter("pi", lines.append)
    report.error("the fan is gone")
    report.take()
    assert report.take() == 0
    report.error("the fan is gone")
    assert lines == ["E! pi: the fan is gone"] * 2


def test_different_sentences_are_each_said() -> None:
    lines: list[str] = []
    report = ErrorReporter("pi", lines.append)
    report.error("one")
    report.error("two")
    assert lines == ["E! pi: one", "E! pi: two"]
    assert report.take() == 2


def test_a_sentence_is_one_line_since_telegraf_logs_by_the_line() -> None:
    lines: list[str] = []
    ErrorReporter("pi", lines.append).error("one\n  two\tthree ")
    assert lines == ["E! pi: one two three"]
