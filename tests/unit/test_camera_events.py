"""EventTracker made of detections, without pictures."""

from __future__ import annotations

import doctest

import pytest

from collectors.camera import events
from collectors.camera.detector import Box, Detection
from collectors.camera.events import Event, EventTracker, event_id

BASE_NS = 1_700_000_000_000_000_000


def motion(area: float = 2.0, score: float = 3.0, left: float = 0.0) -> Detection:
    return Detection(True, area, area, score, Box(left, 0, 10, 20))


STILL = Detection(changed_percent=0.1)


def follow(script: str, *, consecutive: int = 3, gap: float = 0.95) -> list[tuple[float, Event[int]]]:
    """Run a script of frames at 10 a second: ``M`` moves, ``.`` does not; what came of it, and when."""
    tracked: EventTracker[int] = EventTracker("Door 1", consecutive, gap)
    found = []
    for number, letter in enumerate(script):
        seconds = number / 10
        seen = motion() if letter == "M" else STILL
        found += [(seconds, each) for each in tracked.update(seconds, BASE_NS + number * 10**8, seen, number)]
    return found


def test_event_starts_with_enough_consecutive_frames_and_is_timed_at_the_first() -> None:
    ((seconds, start),) = follow("..MMMM")
    assert (seconds, start.kind) == (0.4, "start")
    assert start.start_ns == BASE_NS + 2 * 10**8
    assert start.frames == 3


def test_too_few_consecutive_frames_are_no_event() -> None:
    assert follow("MM.MM.M.MM.........................") == []


def test_event_ends_after_the_gap_and_lasts_to_the_last_motion() -> None:
    (_, start), (seconds, end) = follow("MMMMM...................")
    assert (end.kind, seconds) == ("end", 1.4)
    assert end.event_id == start.event_id
    assert end.duration_seconds == pytest.approx(0.4)
    assert (end.frames, end.interrupted) == (5, False)


def test_motion_within_the_gap_belongs_to_the_same_event() -> None:
    found = follow("MMM........MM.......M.M............")
    assert [each.kind for _, each in found] == ["start", "end"]
    assert found[1][1].frames == 7
    assert found[1][1].duration_seconds == pytest.approx(2.2)


def test_stray_frame_does_not_keep_an_event_open() -> None:
    found = [each for _, each in follow("MMM.....M......M......M....")]
    assert [each.kind for each in found] == ["start", "end"]
    assert found[1].frames == 3
    assert found[1].duration_seconds == pytest.approx(0.2)


def test_stray_frame_does_not_merge_two_visits() -> None:
    kinds = [each.kind for _, each in follow("MMMM......M......MMMM............")]
    assert kinds == ["start", "end", "start", "end"]


def test_single_frames_count_when_one_starts_an_event() -> None:
    found = [each for _, each in follow("M......M......M.............", consecutive=1)]
    assert [each.kind for each in found] == ["start", "end"]
    assert found[1].frames == 3


@pytest.mark.parametrize("areas", [(12.0, 46.0, 11.0, 11.5), (46.0, 12.0, 11.0, 11.5), (11.0, 11.5, 12.0, 46.0)])
def test_stray_frame_does_not_become_the_image_of_the_event(areas: tuple[float, ...]) -> None:
    tracked: EventTracker[float] = EventTracker("door", 1, 1.0)
    for number, area in enumerate(areas):
        list(tracked.update(number / 10, BASE_NS, motion(area), area))
    (end,) = tracked.finish(interrupted=False)
    assert (end.picture, end.area_percent) == (end.area_percent, end.area_percent)
    assert end.picture in (11.5, 12.0)


def test_motion_after_the_gap_is_a_new_event() -> None:
    found = [each for _, each in follow("MMM...........MMM...........")]
    assert [each.kind for each in found] == ["start", "end", "start", "end"]
    assert found[0].event_id < found[2].event_id


def test_motion_after_a_gap_without_frames_is_a_new_event() -> None:
    tracked: EventTracker[int] = EventTracker("door", 1, 1.0)
    first = list(tracked.update(0.0, BASE_NS, motion(), 0))
    later = list(tracked.update(60.0, BASE_NS + 60 * 10**9, motion(), 1))
    assert [each.kind for each in (*first, *later)] == ["start", "end", "start"]
    assert later[0].duration_seconds == 0


def cut(pictures: str, *, idle: float) -> list[Event[int]]:
    """The events of pictures at 10 a second, which then stop, and of a time without one; the gap is 1 s."""
    tracked: EventTracker[int] = EventTracker("door", 1, 1.0)
    for number, letter in enumerate(pictures):
        list(tracked.update(number / 10, BASE_NS, motion() if letter == "M" else STILL, number))
    return [*tracked.idle(idle), *tracked.idle(idle + 60)]


def test_event_ends_after_the_gap_without_frames_and_is_interrupted() -> None:
    tracked: EventTracker[int] = EventTracker("door", 1, 1.0)
    list(tracked.update(0.0, BASE_NS, motion(), 0))
    assert list(tracked.idle(0.9)) == []
    (end,) = tracked.idle(1.0)
    assert (end.kind, end.interrupted, end.duration_seconds) == ("end", True, 0.0)
    assert list(tracked.idle(60.0)) == []


def test_event_is_not_interrupted_when_frames_have_shown_its_end() -> None:
    (end,) = cut("MMM.......", idle=1.25)
    assert (end.interrupted, end.frames) == (False, 3)
    (end,) = cut("MMM..", idle=1.25)
    assert end.interrupted


def test_no_event_ends_at_a_time_without_frames_unless_one_is_open() -> None:
    assert cut("....", idle=90.0) == []


def test_event_has_image_and_box_of_the_largest_area_and_the_highest_score() -> None:
    tracked: EventTracker[str] = EventTracker("door", 1, 1.0)
    for number, (area, score, name) in enumerate(((1.0, 5.0, "a"), (4.0, 2.0, "b"), (3.0, 3.0, "c"))):
        list(tracked.update(number / 10, BASE_NS, motion(area, score, left=area), name))
    (end,) = tracked.finish(interrupted=False)
    assert (end.picture, end.area_percent, end.score, end.box.left) == ("b", 4.0, 5.0, 4.0)


def test_interrupted_event_ends_with_its_duration_so_far() -> None:
    tracked: EventTracker[int] = EventTracker("door", 1, 10.0)
    for number in range(5):
        list(tracked.update(number / 10, BASE_NS + number * 10**8, motion(), number))
    (end,) = tracked.finish(interrupted=True)
    assert (end.kind, end.interrupted) == ("end", True)
    assert end.duration_seconds == pytest.approx(0.4)
    assert list(tracked.finish(interrupted=True)) == []


def test_finish_without_an_event_returns_nothing() -> None:
    tracked: EventTracker[int] = EventTracker("door", 3, 10.0)
    list(tracked.update(0.0, BASE_NS, motion(), 0))
    assert list(tracked.finish(interrupted=True)) == []


def test_ids_sort_by_time_and_are_valid_in_a_path() -> None:
    ids = [event_id(BASE_NS + step, "../Süd Tür") for step in (0, 1000, 10**9, 86_400 * 10**9)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 4
    assert all("/" not in each and ".." not in each and " " not in each for each in ids)
    assert event_id(BASE_NS, "///") == "20231114T221320.000000Z-camera"


def test_docstring_examples() -> None:
    outcome = doctest.testmod(events)
    assert outcome.attempted > 0
    assert outcome.failed == 0
