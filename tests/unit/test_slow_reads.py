"""Slow reads, in threads outside the collector's main loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from functools import partial

import pytest

from collectors.core.slow_reads import SLOW_SECONDS, Answer, Read, SlowReads

#: Longer than any read of the tests takes on a busy machine: a test that waits this long has failed.
FOREVER = 60.0


class Sources:
    """Sources that block until released, and record the threads and the number of reads of each."""

    def __init__(self) -> None:
        self.held: dict[str, threading.Event] = {}
        self.threads: dict[str, list[threading.Thread]] = {}
        self.begun = threading.Semaphore(0)

    def hold(self, *names: str) -> None:
        self.held.update((name, threading.Event()) for name in names)

    def reads(self, *names: str) -> dict[Hashable, Read]:
        return {name: partial(self._read, name) for name in names}

    def _read(self, name: str) -> str:
        self.threads.setdefault(name, []).append(threading.current_thread())
        self.begun.release()
        if name in self.held:
            self.held[name].wait(FOREVER)
        if name == "broken":
            raise OSError("Input/output error")
        return name.upper()


@pytest.fixture
def sources() -> Iterator[Sources]:
    sources = Sources()
    yield sources
    for event in sources.held.values():
        event.set()


@pytest.fixture
def reads() -> Iterator[SlowReads]:
    reads = SlowReads(lambda: 7, time.monotonic)
    yield reads
    reads.close()


def test_each_read_gives_its_result_or_its_exception_and_its_time(sources: Sources, reads: SlowReads) -> None:
    reads.request(sources.reads("a", "broken"))
    assert reads.wait(FOREVER, slow=True)
    answers = reads.take()
    assert (answers["a"].value, answers["a"].time_ns) == ("A", 7)
    assert isinstance(answers["broken"].value, OSError)
    assert reads.take() == {}


def test_a_read_that_hangs_keeps_no_other_waiting(sources: Sources, reads: SlowReads) -> None:
    hung = [f"hung{number}" for number in range(8)]
    sources.hold(*hung)
    reads.request(sources.reads(*hung, "a", "b"))
    answers: dict[Hashable, Answer] = {}
    while len(answers) < 2:
        reads.wait(0.01, slow=True)
        answers |= reads.take()
    assert answers.keys() == {"a", "b"}
    assert reads.waiting().keys() == set(hung)


def test_a_read_that_hangs_is_not_started_again_before_it_ends(sources: Sources, reads: SlowReads) -> None:
    sources.hold("nas")
    for _ in range(3):
        reads.request(sources.reads("nas"))
    assert sources.begun.acquire(timeout=FOREVER)
    assert len(sources.threads["nas"]) == 1
    sources.held["nas"].set()
    answers: dict[Hashable, Answer] = {}
    while not answers:
        reads.wait(0.01, slow=True)
        answers = reads.take()
    assert answers["nas"].late
    reads.request(sources.reads("nas"))
    assert sources.begun.acquire(timeout=FOREVER)
    assert len(sources.threads["nas"]) == 2


def test_a_batch_waits_for_no_read_of_an_earlier_one(sources: Sources, reads: SlowReads) -> None:
    sources.hold("nas")
    reads.request(sources.reads("nas"))
    assert not reads.wait(0.0, slow=True)
    reads.request(sources.reads("nas"))
    assert reads.wait(FOREVER, slow=True)


def test_a_read_that_was_slow_is_not_waited_for_where_another_batch_follows(sources: Sources, reads: SlowReads) -> None:
    reads._took = {"w1": SLOW_SECONDS}  # as it was measured the last time
    sources.hold("w1")
    reads.request(sources.reads("w1"))
    assert reads.wait(FOREVER, slow=False)
    assert not reads.wait(0.0, slow=True)


def test_a_wait_for_some_reads_ends_with_them(sources: Sources, reads: SlowReads) -> None:
    sources.hold("nas")
    reads.request(sources.reads("nas", "a"))
    assert reads.wait(FOREVER, slow=True, keys={"a"})
    assert reads.take().keys() == {"a"}


def test_quick_reads_come_before_those_that_were_slow(sources: Sources, reads: SlowReads) -> None:
    reads._took = {"w1": 0.8}  # as it was measured the last time
    sources.hold("a")
    reads.request(sources.reads("w1", "a", "b"))
    assert sources.begun.acquire(timeout=FOREVER)
    assert [key for key, _ in reads._queue] == ["b", "w1"], "behind the first, which holds the only thread"


def test_threads_that_wait_for_work_end_when_it_is_closed(sources: Sources, reads: SlowReads) -> None:
    for name in ("a", "b", "c"):
        reads.request(sources.reads(name))
        assert reads.wait(FOREVER, slow=True)
        reads.take()
    threads = {thread for used in sources.threads.values() for thread in used}
    assert threading.current_thread() not in threads
    reads.close()
    for thread in threads:
        thread.join(FOREVER)
        assert not thread.is_alive()


def test_a_slow_or_late_answer_has_its_own_time_and_a_quick_one_that_of_the_batch() -> None:
    assert [Answer(1.0, seconds, 99).time(7) for seconds in (0.0, SLOW_SECONDS)] == [7, 99]
    assert Answer(1.0, 0.0, 99, late=True).time(7) == 99
