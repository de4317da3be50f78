"""The state of a device as plain values: merging, status, and its spelling in bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.device_state import model
from collectors.device_state.model import EMPTY, Delta, DocumentError, Rules, State, decode, encode, merge

S = 10**9
NOW = 1_800_000_000 * S
RULES = Rules(interval_seconds=10, late=3, offline=10, slack_seconds=1, window=100, window_seconds=60)


def delta(*identities: int, at: int = NOW) -> Delta:
    return Delta(identities, 0, at, at, 1)


def test_a_message_that_comes_again_is_counted_once_and_told() -> None:
    state = merge(merge(EMPTY, delta(1, 2, 3), NOW, RULES), delta(2, 3, 4), NOW, RULES)
    assert (state.messages, state.duplicates) == (4, 2)


def test_to_merge_the_same_again_changes_no_count() -> None:
    once = merge(EMPTY, delta(1, 2, 3), NOW, RULES)
    assert merge(once, delta(1, 2, 3), NOW, RULES).messages == once.messages


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=50), st.lists(st.integers(0, 49), max_size=100))
def test_whatever_way_messages_are_dealt_out_and_repeated_each_is_counted_once(ids: list[int], cuts: list[int]) -> None:
    state = EMPTY
    for cut in [0, *cuts]:
        state = merge(state, delta(*ids[cut:]), NOW, RULES)
    assert state.messages == len(ids)


def test_the_window_keeps_the_latest_identities_and_drops_old_ones() -> None:
    rules = RULES._replace(window=4)
    state = merge(merge(EMPTY, delta(1, 2, 3), NOW, rules), delta(4, 5, 6), NOW, rules)
    assert [group for _, group in state.window] == [(3,), (4, 5, 6)]
    later = merge(state, delta(7), NOW + 61 * S, rules)
    assert [group for _, group in later.window] == [(7,)]


def test_all_messages_of_one_write_are_recognised_even_beyond_the_window() -> None:
    rules = RULES._replace(window=2)
    big = delta(*range(100))
    assert merge(merge(EMPTY, big, NOW, rules), big, NOW, rules).messages == 100


def test_first_and_last_are_those_of_the_samples_whatever_their_order() -> None:
    state = merge(merge(EMPTY, delta(1, at=50 * S), NOW, RULES), delta(2, at=20 * S), NOW, RULES)
    assert (state.first_ns, state.last_ns) == (20 * S, 50 * S)


def test_a_device_that_told_nothing_yet_has_no_time_of_telemetry() -> None:
    state = merge(EMPTY, Delta(about={"firmware": "1.2"}, gone=False), NOW, RULES)
    assert (state.messages, state.last_ns, state.firmware, state.status) == (0, 0, "1.2", "online")


def test_an_older_sample_does_not_replace_the_last_values() -> None:
    new = delta(1)._replace(values={"environment": (9, {"pressure_hpa": 1000.0})})
    old = delta(2)._replace(values={"environment": (5, {"pressure_hpa": 990.0}), "imu": (5, {"pitch_degrees": 1.0})})
    state = merge(merge(EMPTY, new, NOW, RULES), old, NOW, RULES)
    assert state.values == {"environment": (9, {"pressure_hpa": 1000.0}), "imu": (5, {"pitch_degrees": 1.0})}


def test_a_device_that_invents_names_without_end_keeps_its_document_small() -> None:
    fields = {f"field_{number}": "x" * 10_000 for number in range(10_000)}
    state = merge(EMPTY, delta(1)._replace(values={"environment": (1, fields)}), NOW, RULES)
    assert sum(len(kept) for _, kept in state.values.values()) == model.MAX_VALUES
    assert len(encode(state)) < model.MAX_VALUES * (model.MAX_TEXT + 40)


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, "online"), (30, "online"), (31, "late"), (100, "late"), (101, "offline")]
)
def test_the_status_follows_from_the_time_since_the_last_telemetry(seconds: int, status: str) -> None:
    state = merge(EMPTY, delta(1), NOW, RULES)
    assert model.status(state, NOW + seconds * S, RULES) == status


def test_the_deadline_is_when_the_status_changes() -> None:
    state = merge(EMPTY, delta(1), NOW, RULES)
    late_ns = model.deadline_ns(state, RULES)
    assert late_ns == NOW + 31 * S
    late = state._replace(status=model.status(state, late_ns, RULES))
    offline_ns = model.deadline_ns(late, RULES)
    assert (late.status, offline_ns) == ("late", NOW + 101 * S)
    assert model.deadline_ns(late._replace(status="offline"), RULES) is None


def test_a_last_will_makes_a_device_offline_until_telemetry_comes() -> None:
    gone = merge(merge(EMPTY, delta(1), NOW, RULES), Delta(gone=True), NOW, RULES)
    assert gone.status == "offline"
    assert merge(gone, delta(1), NOW, RULES).status == "offline", "a repetition is no sign of life"
    assert merge(gone, delta(2), NOW, RULES).status == "online"


def test_the_interval_is_learned_and_one_outage_does_not_become_the_rhythm() -> None:
    rules = RULES._replace(interval_seconds=0)
    steady = delta(1, 2, 3, 4, at=NOW)._replace(first_ns=NOW - 30 * S, steps=4, span_ns=30 * S)
    state = merge(EMPTY, steady, NOW, rules)
    assert state.interval_seconds == 10.0
    after = merge(state, delta(5, at=NOW + 86400 * S), NOW, rules)
    assert after.interval_seconds == pytest.approx(19.0)


@given(
    st.builds(
        State,
        messages=st.integers(0, 2**62),
        first_ns=st.integers(-(2**62), 2**62),
        interval_seconds=st.floats(0, 1e9),
        status=st.sampled_from(["online", "late", "offline"]),
        gone=st.booleans(),
        firmware=st.text(),
        values=st.dictionaries(
            st.text(),
            st.tuples(
                st.integers(-(2**63), 2**63),
                st.dictionaries(st.text(), st.floats(allow_nan=False) | st.integers() | st.booleans() | st.text()),
            ),
        ),
        window=st.lists(
            st.tuples(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**64 - 1)).map(tuple)), max_size=3
        ).map(tuple),
    )
)
def test_a_document_reads_back_as_the_state_it_spells(state: State) -> None:
    assert decode(encode(state)) == state


def test_a_document_that_is_cut_off_or_altered_is_refused_with_the_reason() -> None:
    document = encode(merge(EMPTY, delta(1, 2, 3), NOW, RULES))
    for length in range(len(document)):
        if length == len(document) - 32:  # exactly without its window, which is a state, too
            continue
        with pytest.raises(DocumentError, match=r"^it "):
            decode(document[:length])
    with pytest.raises(DocumentError):
        decode(document.replace(b'"online"', b"12345678"))
