"""The tracker: counts in memory, writes by revision, retries, and keeps pending counts within bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from collectors.core.api import Unavailable
from collectors.core.line_protocol import Metric
from collectors.core.settings import Values
from collectors.device_state.background import END_SECONDS
from collectors.device_state.counting import Device, Pending
from collectors.device_state.measurement import MEASUREMENTS
from collectors.device_state.model import Rules, decode
from collectors.device_state.sqlite import SqliteStore
from collectors.device_state.store import Change, Store, Stored, StoreError
from collectors.device_state.tracker import (
    ATTEMPTS,
    BASE_SECONDS,
    CAP_SECONDS,
    END_ATTEMPTS,
    END_WITHIN_SECONDS,
    LIST_SECONDS,
    Limits,
    Tracker,
    open_tracker,
    own_firmware,
)
from tests.schema_check import violations

S = 10**9
NOW = 1_800_000_000 * S
RULES = Rules(interval_seconds=10.0, late=3.0, offline=10.0, slack_seconds=1.0)
LIMITS = Limits()


class Spoiled:
    """A store that can be told to fail, and to have another worker write in between."""

    kind = "sqlite"

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failing = False
        self.answer_lost = False
        self.meanwhile: Callable[[], None] = lambda: None
        self.reads: list[int] = []

    def read(self, devices: Sequence[str]) -> Mapping[str, Stored]:
        if self.failing:
            raise StoreError("the store is away")
        self.reads.append(len(devices))
        found = self._store.read(devices)
        self.meanwhile()
        return found

    def write(self, changes: Sequence[Change]) -> Mapping[str, int]:
        written = self._store.write(changes)
        if self.answer_lost:
            raise StoreError("the answer was lost")
        return written

    def devices(self) -> Iterable[str]:
        return self._store.devices()

    def close(self) -> None:
        self._store.close()


class Worker:
    """A tracker with its store, its clock and its log."""

    def __init__(self, path: Path, limits: Limits = LIMITS, rules: Rules = RULES) -> None:
        self.said: list[str] = []
        self.slept: list[float] = []
        self.asleep: Callable[[], None] = lambda: None
        self.now = 1000.0
        self.store = Spoiled(SqliteStore(str(path), self.said.append))
        own = {"hub": {"firmware": "Linux 6", "bundle_version": "1.0"}}
        self.tracker = Tracker(
            self.store, rules, limits, own, self.said.append, lambda: NOW, lambda: self.now, self.sleep
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asleep()

    def count(self, *identities: int, device: str = "pi", at: int = NOW) -> None:
        handle = self.tracker.device(device)
        for identity in identities:
            handle.count(identity, at, {"pressure_hpa": 1000.0})

    def flush(self, at: int = NOW) -> dict[str, dict[str, object]]:
        """The reported states by device, with the store's report under the empty name."""
        metrics = self.tracker.flush(at)
        check(metrics)
        return {metric.series.tags.get("device", ""): dict(metric.fields) for metric in metrics}


def check(metrics: Sequence[Metric]) -> None:
    assert [each for metric in metrics for each in violations(metric, MEASUREMENTS)] == []


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Makes workers on one store."""
    made: list[Worker] = []

    def make(**options: object) -> Worker:
        made.append(Worker(tmp_path / "state.db", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for worker in made:
        worker.store.close()


Make = Callable[..., Worker]


def test_counts_are_written_and_reported(workers: Make) -> None:
    worker = workers()
    worker.count(1, 2, 2, 3, at=NOW - 5 * S)
    told = worker.flush()
    assert told["pi"] == {
        "messages": 3,
        "duplicates": 1,
        "first_telemetry_seconds": 1_799_999_995.0,
        "last_telemetry_seconds": 1_799_999_995.0,
        "age_seconds": 0.0,
        "interval_seconds": 10.0,
        "revision": 1,
        "status": "online",
        "online": 1,
    }
    assert (told[""]["written"], told[""]["failures"], worker.said) == (1, 0, [])


def test_what_did_not_change_is_neither_written_nor_told(workers: Make) -> None:
    worker = workers()
    worker.count(1)
    worker.flush()
    reads = len(worker.store.reads)
    assert list(worker.flush()) == [""]
    assert len(worker.store.reads) == reads


def test_a_message_that_comes_again_to_another_worker_is_counted_once(workers: Make) -> None:
    one, two = workers(), workers()
    one.count(1, 2, 3)
    two.count(1, 2, 3, 4)
    one.flush()
    told = two.flush()["pi"]
    assert (told["messages"], told["duplicates"]) == (4, 3)


def test_the_last_values_of_each_series_are_kept(workers: Make) -> None:
    worker = workers()
    worker.tracker.device("pi", "environment/hts221").count(1, NOW, {"temperature_raw_celsius": 20.0})
    worker.tracker.device("pi", "imu").count(2, NOW - S, {"pitch_degrees": 1.5})
    worker.flush()
    state = decode(worker.store.read(["pi"])["pi"].document)
    assert state.values == {
        "environment/hts221": (NOW, {"temperature_raw_celsius": 20.0}),
        "imu": (NOW - S, {"pitch_degrees": 1.5}),
    }
    assert state.messages == 2


def test_this_machine_is_reported_with_its_version_and_firmware(workers: Make) -> None:
    worker = workers()
    worker.count(1, device="hub")
    told = worker.flush()["hub"]
    assert (told["firmware"], told["bundle_version"]) == ("Linux 6", "1.0")


def test_where_another_was_quicker_it_is_tried_again_and_the_conflict_told(workers: Make) -> None:
    one, two = workers(), workers()
    two.count(10, 11)
    one.count(1)

    def quicker() -> None:
        one.store.meanwhile = lambda: None
        two.flush()

    one.store.meanwhile = quicker
    told = one.flush()
    assert (told["pi"]["messages"], told[""]["conflicts"], told[""]["failures"]) == (3, 1, 0)
    assert len(one.slept) == 1


def test_after_ten_attempts_a_failure_is_reported_and_nothing_is_lost(workers: Make) -> None:
    one, two = workers(), workers()
    one.count(1)
    identities = iter(range(100, 200))

    def quicker() -> None:
        two.count(next(identities))
        two.flush()

    one.store.meanwhile = quicker
    told = one.flush()
    assert (told[""]["failures"], told[""]["conflicts"], told[""]["pending_messages"]) == (1, ATTEMPTS, 1)
    assert len(one.slept) == ATTEMPTS - 1
    bounds = [min(CAP_SECONDS, BASE_SECONDS * 2**attempt) for attempt in range(1, ATTEMPTS)]
    assert all(BASE_SECONDS <= slept <= bound for slept, bound in zip(one.slept, bounds, strict=True))
    assert one.said == [
        "the state of 1 devices was not written in 10 attempts, since other workers were quicker each time (pi is "
        "one); it is kept for the next"
    ]
    one.store.meanwhile = lambda: None
    assert one.flush()["pi"]["messages"] == 1 + next(identities) - 100


def test_a_store_that_fails_keeps_nothing_from_being_counted_later(workers: Make) -> None:
    worker = workers()
    worker.store.failing = True
    for identity in range(3):
        worker.count(identity, identity)
        told = worker.flush()
        assert (told[""]["failures"], told[""]["pending_messages"]) == (1, identity + 1)
    assert worker.said[-1] == "the store is away; what was counted is kept for the next attempt"
    worker.store.failing = False
    told = worker.flush()
    assert (told["pi"]["messages"], told["pi"]["duplicates"], told[""]["failures"]) == (3, 3, 0)


def test_a_write_whose_answer_was_lost_is_not_counted_twice(workers: Make) -> None:
    worker = workers()
    worker.count(1, 2)
    worker.store.answer_lost = True
    assert worker.flush()[""]["failures"] == 1
    worker.store.answer_lost = False
    worker.count(3)
    assert worker.flush()["pi"]["messages"] == 3


def test_beyond_the_bound_only_the_number_of_messages_is_kept_and_told(workers: Make) -> None:
    worker = workers(limits=Limits(pending=100))
    worker.store.failing = True
    worker.count(*range(100))
    assert worker.tracker.due(worker.now - 1e6), "memory is full, whatever the clock says"
    worker.flush()
    worker.count(*range(200, 250))
    told = worker.flush()
    assert (told[""]["unchecked_messages"], told[""]["pending_messages"]) == (150, 150)
    worker.store.failing = False
    assert worker.flush()["pi"]["messages"] == 150


def test_devices_beyond_the_bound_are_counted_as_lost(workers: Make) -> None:
    worker = workers(limits=Limits(devices=2))
    for number in range(4):
        worker.count(number * 10, number * 10 + 1, device=f"pi-{number}")
    told = worker.flush()
    assert (told[""]["written"], told[""]["lost_messages"]) == (2, 4)


def test_a_device_becomes_late_and_offline_without_a_message_and_one_worker_reports_it(workers: Make) -> None:
    one, two = workers(), workers()
    one.count(1)
    one.flush()
    two.flush()
    assert list(two.flush(NOW + 30 * S)) == [""]
    assert two.flush(NOW + 31 * S)["pi"]["status"] == "late"
    assert "pi" not in one.flush(NOW + 32 * S)
    assert one.flush(NOW + 101 * S)["pi"]["status"] == "offline"
    assert "pi" not in two.flush(NOW + 102 * S)
    assert one.tracker.flush(NOW + 103 * S)[0].series.measurement == "device_store"


def test_a_device_that_another_worker_began_to_see_is_watched_too(workers: Make) -> None:
    one, two = workers(), workers()
    two.flush()
    one.count(1)
    one.flush()
    assert "pi" not in two.flush(NOW + 31 * S)
    two.now += LIST_SECONDS
    assert two.flush(NOW + 31 * S)["pi"]["status"] == "late"


def test_a_last_will_is_reported_at_once_and_later_telemetry_revokes_it(workers: Make) -> None:
    worker = workers()
    worker.count(1)
    worker.tracker.status("pi", {"status": "offline", "firmware": "9.1"})
    told = worker.flush()["pi"]
    assert (told["status"], told["firmware"], told["messages"]) == ("offline", "9.1", 1)
    worker.tracker.status("pi", {"status": "offline"})
    worker.count(2)
    assert worker.flush()["pi"]["status"] == "online"


def test_a_damaged_document_is_reported_and_its_device_starts_from_zero(workers: Make) -> None:
    worker = workers()
    worker.store.write([Change("pi", b"what is this", None)])
    worker.count(1)
    assert worker.flush()["pi"]["messages"] == 1
    assert worker.said[0].startswith("the stored state of pi is damaged (it does not begin as a state does)")


def test_it_is_due_by_the_clock(workers: Make) -> None:
    worker = workers(limits=Limits(seconds=60))
    assert not worker.tracker.due(worker.now + 29)
    assert worker.tracker.due(worker.now + 60)
    worker.flush()
    assert not worker.tracker.due(worker.now + 59)


def test_messages_that_end_uncounted_are_reported_after_a_bounded_number_of_attempts(workers: Make) -> None:
    worker = workers()
    worker.count(1, 2)
    worker.store.failing = True
    metrics = worker.tracker.close()
    check(metrics)
    assert worker.said == [
        "the store is away",
        "2 messages of 1 devices end uncounted, since the store took none",
    ]
    assert [metric.fields["pending_messages"] for metric in metrics] == [2] * END_ATTEMPTS
    assert len(worker.slept) == END_ATTEMPTS - 1
    assert sum(worker.slept) < END_WITHIN_SECONDS < END_SECONDS


def test_a_store_that_fails_at_the_close_is_tried_again_until_it_has_every_message(workers: Make) -> None:
    worker, other = workers(), workers()
    worker.count(1, 2)
    worker.store.failing = True

    def recover() -> None:
        worker.store.failing = len(worker.slept) < 2

    worker.asleep = recover
    metrics = worker.tracker.close()
    check(metrics)
    assert (len(worker.slept), worker.said) == (2, [])
    assert (metrics[-1].fields["failures"], metrics[-1].fields["pending_messages"]) == (0, 0)
    other.count(2, 3)
    assert other.flush()["pi"]["messages"] == 3


def test_devices_that_were_written_leave_nothing_pending(workers: Make) -> None:
    worker = workers()
    for number in range(100):
        worker.count(number, device=f"pi-{number}")
    worker.flush()
    worker.store.reads.clear()
    worker.count(1000)
    worker.flush()
    assert worker.store.reads == [1]


def test_counting_a_message_that_is_pending_leaves_the_values() -> None:
    device = Device(Pending({}, "pi"), "environment")
    device.count(1, 5, {"a": 1.0})
    device.count(1, 6, {"a": 2.0})
    assert (device.duplicates, device.values, device.last_ns, device.first_ns) == (1, {"a": 1.0}, 5, 5)


def values(**given: object) -> Values:
    return Values({f"state_{name}" if name != "state" else name: value for name, value in given.items()})


def test_no_store_is_opened_before_something_is_written(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.db"
    tracker = open_tracker(values(state=str(path)), "hub", pytest.fail, lambda: NOW, lambda: 0.0)
    assert tracker is not None
    assert not path.parent.exists()
    tracker.device("pi").count(1, NOW, {})
    tracker.close()
    assert path.is_file()


def test_none_keeps_no_state() -> None:
    assert open_tracker(values(state="none"), "hub", pytest.fail, lambda: NOW, lambda: 0.0) is None


def test_a_bucket_of_another_name_is_refused() -> None:
    with pytest.raises(Unavailable, match="a bucket has 1 to 64 letters"):
        open_tracker(values(state="nats://127.0.0.1", bucket="a.b"), "hub", pytest.fail, lambda: NOW, lambda: 0.0)


def test_the_firmware_is_the_kernel_and_on_a_pi_the_bootloader(tmp_path: Path) -> None:
    version = tmp_path / "version"
    version.write_bytes(b"39f0b04cd1f8\0")
    assert own_firmware("6.6.31+rpt", str(version)) == "Linux 6.6.31+rpt, bootloader 39f0b04c"
    assert own_firmware("6.6.31+rpt", str(tmp_path / "absent")) == "Linux 6.6.31+rpt"
