"""Simulated devices: the same from the same seed, with every fault told as it is."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.core.line_protocol import Metric
from collectors.messaging.parsers import Rejection, read_message
from collectors.sensehat import MEASUREMENTS
from collectors.sensehat.simulated import read_sensors
from sensetig.simulator import SimulatorError
from sensetig.simulator.device import BROKEN, Device, Fault, Message, Status
from sensetig.simulator.drive import Plan, slots
from sensetig.simulator.encoding import PAYLOADS, payload, status_topic, telemetry_topic
from sensetig.simulator.profile import Profile, Spread, load, names, read
from sensetig.simulator.send_log import SendLog, fault_entries
from sensetig.simulator.sources import Recording, World
from tests.schema_check import violations

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND


def play(
    profile: Profile, *, number: int = 1, of: int = 1, seed: int = 1, readings: int = 40, interval: float = 10.0
) -> tuple[Device, list[Message | Status], list[Fault]]:
    """All that one of several devices does, and what goes wrong with it."""
    devices = [Device(each, seed, profile, START, {"simulated": "true", "site": "here"}) for each in range(1, of + 1)]
    world = World()
    events: list[Message | Status] = []
    faults: list[Fault] = []
    for slot in slots(Plan(START, round(interval * SECOND), readings, 0), devices):
        step = slot.device.step(slot.now_ns, world.reading(slot.device, slot.tick, slot.now_ns))
        if slot.device is devices[number - 1]:
            events += step.events
            faults += step.faults
    last = devices[number - 1].finish()
    return devices[number - 1], events + last.events, faults + last.faults


def points(events: list[Message | Status], *kinds: str) -> list[Metric]:
    chosen = kinds or ("telemetry", "late")
    return [metric for each in events if isinstance(each, Message) and each.kind in chosen for metric in each.metrics]


def values(events: list[Message | Status]) -> dict[tuple[str, str, int], Any]:
    return {
        (metric.series.tags.get("sensor", ""), field, metric.time_ns or 0): value
        for metric in points(events)
        for field, value in metric.fields.items()
    }


@pytest.mark.parametrize("name", names())
def test_every_profile_of_the_package_can_be_read_and_has_a_description(name: str) -> None:
    profile = load(name)
    assert profile.name == name
    assert profile.help.endswith(".")


@pytest.mark.parametrize("name", names())
def test_the_same_seed_gives_the_same_stream_however_many_devices_there_are(name: str) -> None:
    alone = play(load(name), number=2, of=2)
    among = play(load(name), number=2, of=5)
    assert alone[1:] == among[1:]
    assert play(load(name), number=2, of=2, seed=2)[1] != alone[1]


def test_two_devices_differ_in_values_and_times() -> None:
    one, other = play(load("perfect"))[1], play(load("perfect"), number=2, of=2)[1]
    assert not set(values(one)) & set(values(other))


@pytest.mark.parametrize("name", names())
def test_simulated_metrics_match_the_collectors_declaration(name: str) -> None:
    _, events, _ = play(load(name))
    found = [sentence for metric in points(events) for sentence in violations(metric, MEASUREMENTS)]
    assert found == []
    assert {metric.series.tags["simulated"] for metric in points(events)} == {"true"}
    assert {metric.series.tags["device"] for metric in points(events)} == {"sim-0001"}
    assert {metric.series.tags["site"] for metric in points(events)} == {"here"}


def test_the_perfect_profile_sends_each_reading_once_and_nothing_goes_wrong() -> None:
    _, events, faults = play(load("perfect"), readings=25)
    assert faults == []
    assert [each.kind for each in events if isinstance(each, Message)] == ["telemetry"] * 25
    assert len(events) == 25


def test_interpolated_rooms_match_the_world_to_a_hundredth() -> None:
    device, world = Device(1, 1, load("perfect"), START, {}), World()
    for seconds in range(0, 30, 3):
        near = world.reading(device, 0, START + seconds * SECOND)
        exact = read_sensors(device.seed, START + seconds * SECOND)
        assert near.temperature_humidity == pytest.approx(exact.temperature_humidity, abs=0.02)
        assert near.pressure == pytest.approx(exact.pressure, abs=0.01)


BASE = Profile("test", "A test.")


def test_the_calibration_error_matches_the_reported_one() -> None:
    spread = Spread(2.0, 0.05)
    device, events, _ = play(BASE._replace(calibration=(spread, spread, spread)))
    _, true, _ = play(BASE)
    measured, exact = values(events), values(true)
    for error in device.character.calibration:
        places = [place for place in exact if place[:2] == (error.sensor, error.field)]
        assert len(places) == 40
        for place in places:
            assert measured[place] == pytest.approx(error.gain * exact[place] + error.offset, abs=1e-6)


def test_a_dropout_leaves_out_its_value_and_no_other_of_a_sensor() -> None:
    _, events, faults = play(BASE._replace(dropout_probability=0.2), readings=100)
    _, true, _ = play(BASE, readings=100)
    gone = {(fault.sensor, fault.field, fault.time_ns) for fault in faults}
    assert {fault.kind for fault in faults} == {"dropout"}
    sensed = {place for place in values(true) if place[1] not in ("dew_point_celsius", "temperature_cpu_celsius")}
    assert {place for place in values(events) if place in sensed} == sensed - gone
    assert gone <= sensed


def test_a_stuck_value_is_the_one_that_it_stuck_at() -> None:
    _, events, faults = play(BASE._replace(stuck_probability=0.05, stuck_seconds=60), readings=100)
    sent, true = values(events), values(play(BASE, readings=100)[1])
    stuck = {(fault.sensor, fault.field, fault.time_ns) for fault in faults}
    assert stuck
    last: dict[tuple[str, str], float] = {}
    for place in sorted(sent, key=lambda place: place[2]):
        if place in stuck:
            assert sent[place] == last[place[:2]]
        elif place[1] not in ("dew_point_celsius", "temperature_cpu_celsius"):
            assert sent[place] == true[place]
        last[place[:2]] = sent[place]


def test_a_spike_has_its_configured_size_and_is_within_the_sensors_range() -> None:
    _, events, faults = play(BASE._replace(spike_probability=0.1, spike_sizes=(30.0, 20.0, 50.0)), readings=100)
    sent, true = values(events), values(play(BASE, readings=100)[1])
    sizes = {"temperature_raw_celsius": 30, "humidity_raw_percent": 20, "pressure_hpa": 50}
    spiked = {(fault.sensor, fault.field, fault.time_ns) for fault in faults}
    assert {fault.kind for fault in faults} == {"spike"}
    for place in true:
        if place in spiked:
            assert abs(sent[place] - true[place]) == pytest.approx(sizes[place[1]], abs=1e-5)
        elif place[1] != "dew_point_celsius":
            assert sent[place] == true[place]


def test_a_value_moved_out_of_range_by_an_error_is_reported_and_not_sent() -> None:
    _, events, faults = play(BASE._replace(calibration=(Spread(), Spread(500.0, 0), Spread())), readings=5)
    assert {(fault.kind, fault.field) for fault in faults} == {("out_of_range", "humidity_raw_percent")}
    assert len(faults) == 5
    assert not any(place[1] == "humidity_raw_percent" for place in values(events))


def test_a_clock_that_was_never_set_begins_in_1970_until_it_is() -> None:
    device, events, _ = play(BASE._replace(unsynchronised_probability=1, unsynchronised_seconds=100), readings=20)
    times = [metric.time_ns or 0 for metric in points(events)]
    assert all(time < 100 * SECOND for time in times[:20])
    assert all(time >= START for time in times[20:])
    assert device.character.unsynchronised_ns == 100 * SECOND


def test_a_clock_is_off_by_its_offset_and_drifts() -> None:
    device, events, _ = play(BASE._replace(clock_offset_seconds=60, clock_drift_ppm=1000), readings=1000)
    true = points(play(BASE, readings=1000)[1])
    first, last = points(events)[0], points(events)[-1]
    offset, drift = device.character.clock_offset_ns, device.character.clock_drift_ppm
    assert (first.time_ns or 0) - (true[0].time_ns or 0) == pytest.approx(offset, abs=abs(drift) * 1e4 + 1)
    elapsed = (true[-1].time_ns or 0) - START
    assert (last.time_ns or 0) - (true[-1].time_ns or 0) == pytest.approx(offset + elapsed * drift / 1e6, abs=2)


def test_offline_readings_arrive_late_and_complete() -> None:
    _, events, faults = play(BASE._replace(offline_probability=0.05, offline_seconds=60), readings=200)
    assert values(events) == values(play(BASE, readings=200)[1])
    late = [fault.time_ns for fault in faults if fault.kind == "late"]
    assert sorted({metric.time_ns or 0 for metric in points(events, "late")}) == sorted(late)
    statuses = [each.online for each in events if isinstance(each, Status)]
    assert statuses == [False, True] * (len(statuses) // 2)
    assert len(statuses) == 2 * sum(fault.kind == "offline" for fault in faults)


def test_readings_lost_offline_are_reported_and_never_sent() -> None:
    profile = BASE._replace(offline_probability=0.05, offline_seconds=60, offline_lost=1)
    _, events, faults = play(profile, readings=200)
    lost = {fault.time_ns for fault in faults if fault.kind == "lost"}
    assert lost
    sent = {metric.time_ns for metric in points(events)}
    assert not lost & sent
    assert lost | sent == {metric.time_ns for metric in points(play(BASE, readings=200)[1])}


def test_a_device_that_is_offline_for_too_long_loses_its_oldest_readings() -> None:
    profile = BASE._replace(offline_probability=1, offline_seconds=1e6, offline_readings=10)
    _, events, faults = play(profile, readings=30)
    lost = [fault.time_ns for fault in faults if fault.kind == "lost"]
    sent = sorted({metric.time_ns or 0 for metric in points(events)})
    assert (len(lost), len(sent)) == (20, 10)
    assert max(lost) < min(sent)


def test_a_late_batch_has_no_more_readings_than_the_profile_says() -> None:
    profile = BASE._replace(offline_probability=1, offline_seconds=1e6, batch=7)
    _, events, _ = play(profile, readings=30)
    assert [each.readings for each in events if isinstance(each, Message)] == [7, 7, 7, 7, 2]


def test_a_duplicate_repeats_the_previous_message() -> None:
    _, events, faults = play(BASE._replace(duplicate_probability=0.3), readings=100)
    messages = [each for each in events if isinstance(each, Message)]
    doubled = [number for number, each in enumerate(messages) if each.kind == "duplicate"]
    assert [messages[number].metrics[0].time_ns for number in doubled] == [fault.time_ns for fault in faults]
    assert doubled
    for number in doubled:
        assert messages[number].metrics == messages[number - 1].metrics


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_message_follows_a_good_one_and_is_rejected_for_its_own_fault(kind: str) -> None:
    _, events, faults = play(read(f"[{kind}]\nprobability = 0.3\n", "p.toml"), readings=50)
    broken = [each for each in events if isinstance(each, Message) and each.kind == kind]
    assert [fault.time_ns for fault in faults] == [each.metrics[0].time_ns for each in broken]
    assert broken
    assert values(events) == values(play(BASE, readings=50)[1])
    for each in broken:
        (outcome,) = read_message(telemetry_topic(each.device), payload(each, "lines", 300_000), 0)
        assert isinstance(outcome, Rejection)
        assert outcome.reason == kind


@pytest.mark.parametrize("spelling", PAYLOADS)
def test_the_gateway_parses_a_message_to_the_original_values(spelling: str) -> None:
    _, events, _ = play(load("field"), readings=60)
    for each in events:
        if not isinstance(each, Message) or each.kind in BROKEN:
            continue
        outcomes = read_message(telemetry_topic(each.device), payload(each, spelling, 0), 1)
        assert outcomes == list(each.metrics)


@pytest.mark.parametrize("online", [True, False])
def test_the_gateway_reads_a_status(online: bool) -> None:
    word = b"online" if online else b"offline"
    (outcome,) = read_message(status_topic("sim-0001"), word, START)
    assert isinstance(outcome, Metric)
    assert outcome.fields["status"] == word.decode()


_share = st.floats(0, 0.5)


#: Any faults, of those that leave the times apart.
_FAULTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "clock_offset_seconds": st.floats(0, 100),
        "dropout_probability": _share,
        "stuck_probability": _share,
        "stuck_seconds": st.floats(0, 100),
        "spike_probability": _share,
        "spike_sizes": st.tuples(*[st.floats(0, 1e4)] * 3),
        "offline_probability": _share,
        "offline_seconds": st.floats(0, 200),
        "offline_lost": st.floats(0, 1),
        "offline_readings": st.integers(1, 20),
        "late_probability": _share,
        "late_seconds": st.floats(0, 100),
        "batch": st.integers(1, 10),
        "duplicate_probability": _share,
        "truncated_json_probability": _share,
    }
)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), faults_of=_FAULTS)
def test_each_reading_is_sent_once_or_told_as_lost_whatever_the_profile(seed: int, faults_of: dict[str, Any]) -> None:
    profile = BASE._replace(**faults_of)
    device, events, faults = play(profile, seed=seed, readings=30)
    sent = Counter(
        (metric.series.tags["sensor"], metric.time_ns) for metric in points(events) if "sensor" in metric.series.tags
    )
    assert all(count == 1 for count in sent.values())
    lost = {fault.time_ns for fault in faults if fault.kind == "lost"}
    times = {time for _, time in sent}
    assert not lost & times
    # A reading that lost all four values to dropouts has neither.
    dropped = Counter(fault.time_ns for fault in faults if fault.kind in ("dropout", "out_of_range"))
    empty = {time for time, count in dropped.items() if count == 4}
    slots_of = {device.stamp(slot.now_ns) for slot in slots(Plan(START, 10 * SECOND, 30, 0), [device])}
    assert times | lost | empty == slots_of
    send_log = SendLog([device.name])
    for event in events:
        send_log.acknowledged(send_log.sent(event))
    for fault in faults:
        send_log.fault(fault)
    total = send_log.total()
    assert total["points"] == len(points(events))
    assert total["fields"] == len(values(events))
    assert total["acknowledged"] == total["messages"] == sum(isinstance(each, Message) for each in events)
    assert send_log.faults_of().get("duplicate", 0) == total["duplicate"]
    assert send_log.faults_of() == dict(sorted(Counter(fault.kind for fault in faults).items()))


def test_the_send_log_keeps_unacknowledged_values_with_the_reason() -> None:
    _, events, _ = play(load("perfect"), readings=3)
    send_log = SendLog(["sim-0001"])
    tickets = [send_log.sent(each) for each in events]
    send_log.acknowledged(tickets[0])
    send_log.acknowledged(tickets[0])
    send_log.failed(tickets[1], "it was refused")
    send_log.abandon("no answer came")
    assert [(unsent.reason, unsent.times_ns) for unsent in send_log.unsent] == [
        ("it was refused", (points(events)[2].time_ns,)),
        ("no answer came", (points(events)[4].time_ns,)),
    ]
    total = send_log.total()
    assert (total["messages"], total["acknowledged"], total["unacknowledged"], send_log.waiting) == (3, 1, 2, 0)


def test_manifest_and_faults_list_each_with_its_identity() -> None:
    _, events, faults = play(load("hostile"), readings=50)
    manifest, file = io.StringIO(), io.StringIO()
    send_log = SendLog(["sim-0001"], manifest, file)
    for event in events:
        send_log.sent(event)
    for fault in faults:
        send_log.fault(fault)
    listed = [json.loads(line) for line in manifest.getvalue().splitlines()]
    wanted = points(events, "telemetry", "late", "duplicate")
    assert [(entry["measurement"], entry["time"], entry["fields"]) for entry in listed] == [
        (metric.series.measurement, metric.time_ns, dict(metric.fields)) for metric in wanted
    ]
    assert len([entry for entry in listed if entry["kind"] != "duplicate"]) == send_log.total()["points"]
    assert [(entry["kind"], entry["time_ns"]) for entry in fault_entries(file)] == [
        (fault.kind, fault.time_ns) for fault in faults
    ]


def test_a_recording_gives_every_device_its_row_of_a_tick_and_then_ends(tmp_path: Path) -> None:
    path = tmp_path / "recording.csv"
    path.write_text(
        "temp_h,temp_p,humidity,pressure,time_stamp\n"
        "20,19,50,1000,2026-01-01 00:00:00\n21,20,51,1001,2026-01-01 00:00:10\n"
    )
    source = Recording(str(path), pytest.fail)
    devices = [Device(number, 1, BASE, START, {}) for number in (1, 2)]
    got = [source.reading(device, tick, 0) for tick in range(3) for device in devices]
    source.close()
    assert [reading.temperature_humidity if reading else None for reading in got] == [20, 20, 21, 21, None, None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dropout", "p.toml is not valid TOML: "),
        ("[weather]\n", "p.toml: there is no section [weather]; there are calibration, clock, dropout, "),
        ("spike = 1\n", "p.toml: spike must be a section: [spike]"),
        ("[spike]\nsize = 1\n", "p.toml: [spike] has no size; it has probability"),
        ("[spike]\nprobability = 2\n", "p.toml: [spike] probability is 2.0; it must be a number from 0 to 1"),
        ("[spike]\nprobability = nan\n", "p.toml: [spike] probability is nan; it must be a number from 0 to 1"),
        ("[stuck]\nseconds = true\n", "p.toml: [stuck] seconds is True; it must be a number from 0 to 1e+06"),
        ("[late]\nbatch = 0\n", "p.toml: [late] batch is 0; it must be a whole number from 1 to 1000"),
        ("help = 3\n", "p.toml: help is 3; it must be a text"),
        ("measurements = []\n", "p.toml: measurements is []; it must be a list with some of environment, imu, colour"),
        ("[calibration]\nwind = 3\n", "p.toml: [calibration] has no wind; it has temperature_celsius, "),
        (
            "[calibration]\nhumidity_percent = 3\n",
            "p.toml: [calibration] humidity_percent must be written as { offset = 0.5, gain = 0.01 }",
        ),
    ],
)
def test_a_profile_that_cannot_be_is_refused_in_a_sentence_that_says_where(text: str, said: str) -> None:
    with pytest.raises(SimulatorError) as caught:
        read(text, "p.toml")
    assert str(caught.value).replace("is 2;", "is 2.0;").startswith(said)
