"""A writer and a reader that die and are started again in any order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from collectors.spool.reader import Reader
from collectors.spool.record import encode
from collectors.spool.writer import Writer
from tests.unit.spool_support import Ends, batch, everything


class Lives(RuleBasedStateMachine):
    """A writer and a reader that are killed and started again at any time."""

    make: Callable[[], Path]

    def __init__(self) -> None:
        super().__init__()
        self.ends = Ends(type(self).make())
        self.writer: Writer | None = self.ends.writer(max_bytes=8192)
        self.reader: Reader | None = None
        self.appended = 0
        self.delivered: set[int] = set()
        self.committed = 0
        self.seen = 0
        self.missing = 0

    def teardown(self) -> None:
        """Every line that was not dropped is delivered in the end, and every other line is counted."""
        if self.writer is None:
            self.start_writer()
        if self.reader is None:
            self.start_reader()
        self.read()
        assert self.seen == self.appended
        while self.ends._opened:
            self.ends.end(self.ends._opened[-1])
        super().teardown()

    @precondition(lambda self: self.writer is not None)
    @rule(count=st.integers(1, 5), length=st.integers(0, 700))
    def append(self, count: int, length: int) -> None:
        assert self.writer is not None
        self.writer.append(batch([b"%d %s" % (self.appended + each, b"x" * length) for each in range(1, count + 1)]))
        self.appended += count

    @precondition(lambda self: self.writer is not None)
    @rule(torn=st.integers(0, 30))
    def kill_writer(self, torn: int) -> None:
        """A killed process leaves its complete lines, and maybe part of the next one."""
        assert self.writer is not None
        self.ends.end(self.writer)
        self.writer = None
        if torn and self.ends.files():
            with self.ends.files()[-1].open("ab") as file:
                file.write(encode(self.appended + 1, b"y" * 40)[:torn])

    @precondition(lambda self: self.writer is None)
    @rule()
    def start_writer(self) -> None:
        self.writer = self.ends.writer(max_bytes=8192)

    @precondition(lambda self: self.reader is None)
    @rule()
    def start_reader(self) -> None:
        self.reader = self.ends.reader()
        assert self.reader.number == self.committed
        self.seen = self.committed
        self.missing = 0

    @precondition(lambda self: self.reader is not None)
    @rule()
    def read(self) -> None:
        """Every line once and in its order; what lies between is counted."""
        assert self.reader is not None
        for line in everything(self.reader):
            number = int(line.split()[0])
            assert number > self.seen
            self.missing += number - self.seen - 1
            self.seen = number
            self.delivered.add(number)
        assert self.reader.missing == self.missing
        assert self.reader.damaged == 0

    @precondition(lambda self: self.reader is not None)
    @rule(back=st.integers(0, 5))
    def commit(self, back: int) -> None:
        assert self.reader is not None
        self.reader.commit(self.seen - back)
        self.committed = max(self.committed, self.seen - back)

    @precondition(lambda self: self.reader is not None)
    @rule()
    def kill_reader(self) -> None:
        assert self.reader is not None
        self.ends.end(self.reader)
        self.reader = None

    @invariant()
    def within_bounds(self) -> None:
        assert sum(path.stat().st_size for path in self.ends.files()) <= 8192 + 30


def test_no_order_of_deaths_and_starts_loses_a_line_or_gives_it_twice(tmp_path_factory: pytest.TempPathFactory) -> None:
    Lives.make = staticmethod(lambda: tmp_path_factory.mktemp("lives") / "spool")
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
