"""The joystick: points of presses and releases, and each backend's error without a joystick."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors import joystick
from collectors.core.api import Context, NotApplicable, Unavailable, Wait
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values
from collectors.joystick import DIRECTIONS, JOYSTICK, Joystick, LibraryStick, Presses, StickEvent
from tests.schema_check import violations


def context(once: bool = False, **values: object) -> Context:
    return Context(Values(values), ErrorReporter("joystick", lambda _: None), once, "pi", time.time_ns)


def test_a_press_and_its_release_are_a_point_each_and_holding_is_none() -> None:
    presses = Presses({"device": "pi"})
    events = [
        StickEvent(1_000_000_000, "up", "pressed"),
        StickEvent(1_100_000_000, "up", "held"),
        StickEvent(1_250_000_000, "up", "released"),
        StickEvent(2_000_000_000, "up", "pressed"),
    ]
    points = [presses.point(event) for event in events]
    assert points[1] is None
    found = [point for point in points if point is not None]
    assert [point.fields for point in found] == [
        {"action": "pressed", "pressed": True, "presses": 1},
        {"action": "released", "pressed": False, "presses": 1, "held_seconds": 0.25},
        {"action": "pressed", "pressed": True, "presses": 2},
    ]
    assert [point.time_ns for point in found] == [1_000_000_000, 1_250_000_000, 2_000_000_000]
    assert found[0].series.tags == {"device": "pi", "direction": "up"}


def test_a_release_without_a_press_and_a_clock_set_back_have_no_duration() -> None:
    presses = Presses({})
    for event in (StickEvent(5, "up", "released"), StickEvent(9, "left", "pressed"), StickEvent(7, "left", "released")):
        point = presses.point(event)
        assert point is not None
        assert "held_seconds" not in point.fields


@given(
    st.lists(
        st.builds(
            StickEvent,
            st.integers(0, 2**60),
            st.sampled_from(DIRECTIONS),
            st.sampled_from(("pressed", "released", "held")),
        ),
        max_size=30,
    )
)
def test_whatever_the_joystick_does_fits_the_declaration(events: list[StickEvent]) -> None:
    presses = Presses({"device": "pi"})
    points = [point for point in map(presses.point, events) if point is not None]
    assert [each for point in points for each in violations(point, (JOYSTICK,))] == []
    assert len(points) == sum(event.action != "held" for event in events)


def test_two_things_at_one_time_are_two_points() -> None:
    presses = Presses({})
    one, other = (presses.point(StickEvent(5, "up", action)) for action in ("pressed", "released"))
    assert one is not None
    assert other is not None
    assert one.time_ns != other.time_ns


def test_without_a_board_auto_has_nothing_to_do_and_hat_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable):
        joystick.create(context(sys_root=str(tmp_path)))
    if Path("/dev/input").exists() and any(Path("/sys/class/graphics").glob("fb*")):
        pytest.skip("this machine may have a Sense HAT")
    with pytest.raises(Unavailable, match=r"Sense HAT's (library is not to be had|joystick cannot be opened)"):
        joystick.create(context(backend="hat"))


def test_the_simulated_joystick_is_marked_and_goes_round_until_it_is_stopped() -> None:
    left = [False] * 7 + [True]

    def wait(seconds: float, descriptor: int | None = None, /) -> bool:
        assert (seconds, descriptor) == (5.0, None)
        return left.pop(0)

    made = joystick.create(context(backend="simulated"))
    assert isinstance(made, Joystick)
    points = [point for batch in made.stream(wait) for point in batch]
    made.close()
    assert [point.series.tags["direction"] for point in points[::2]] == [*DIRECTIONS, *DIRECTIONS[:2]]
    assert {point.series.tags["simulated"] for point in points} == {"true"}
    assert points[-1].fields["presses"] == 2


class Library:
    """The part of the libraries' ``SenseStick`` that is used."""

    def __init__(self, descriptor: int) -> None:
        self._stick_file = os.fdopen(descriptor, "rb", 0)

    def get_events(self) -> Sequence[object]:
        self._stick_file.read(1)
        return []

    def close(self) -> None:
        self._stick_file.close()


def test_the_library_is_asked_only_once_its_device_can_be_read() -> None:
    read, write = os.pipe()
    answers: Iterator[bool] = iter((False, False, True))
    waited: list[int | None] = []

    def wait(seconds: float, descriptor: int | None = None, /) -> bool:
        assert seconds > 0
        waited.append(descriptor)
        return next(answers)

    os.write(write, b"12")
    stick = LibraryStick(Library(read), simulated=False)
    following: Wait = wait
    assert list(stick.events(following)) == [[], []]
    assert waited == [read] * 3
    stick.close()
    os.close(write)


def test_both_libraries_have_the_attributes_used() -> None:
    stick = pytest.importorskip("sense_emu.stick")
    import importlib.util

    found = importlib.util.find_spec("sense_hat")
    sources = [inspect.getsource(stick)]
    if found is not None and found.origin is not None:
        sources.append((Path(found.origin).parent / "stick.py").read_text(encoding="utf-8"))
    for source in sources:
        for part in (
            "self._stick_file = ",
            "def get_events(self)",
            "def close(self)",
            "'timestamp', 'direction', 'action'",
        ):
            assert part in source
        for name in (*DIRECTIONS, "pressed", "released", "held"):
            assert f"= '{name}'" in source
