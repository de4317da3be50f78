"""The LED matrix: letters, colours, pictures, bars, rotation, and the status in its corner."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from datetime import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.messaging.commands import ArgumentError
from collectors.sensehat.led import font, rendering, screens
from collectors.sensehat.led.health import Health, health, hours, within
from collectors.sensehat.led.rendering import BLACK, OFF, PIXELS, SIDE, WHITE, Frame
from collectors.sensehat.led.screens import FrameBuffer, Screen, ScreenError
from collectors.sensehat.led.show import Show

pixels = st.tuples(*[st.integers(0, 255)] * 3)
frames = st.lists(pixels, min_size=PIXELS, max_size=PIXELS).map(tuple)


def drawn(frame: Frame) -> list[str]:
    """The frame as eight texts, with # for lit pixels."""
    signs = "".join(" " if pixel == BLACK else "#" for pixel in frame)
    return [signs[row * SIDE : (row + 1) * SIDE].rstrip() for row in range(SIDE)]


# --- letters and texts ---


def test_every_letter_has_at_most_five_columns_and_all_differ() -> None:
    shapes = [font.columns(sign) for sign in font.known()]
    assert all(1 <= len(shape) <= 5 for shape in shapes)
    assert len(set(shapes)) == len(shapes)
    assert set(map(chr, range(32, 127))) <= set(font.known())


def test_a_text_scrolls_from_right_to_left() -> None:
    found = [drawn(frame) for frame in rendering.text_frames("I", WHITE)]
    assert len(found) == rendering.frames_of("I")
    assert found[0] == found[-1] == [""] * SIDE
    assert found[1] == ["       #", *[""] * 5, "       #", ""]
    assert found[8] == ["###", *[" #"] * 5, "###", ""]


@given(st.text(min_size=1, max_size=rendering.MAX_TEXT), pixels, pixels)
def test_any_text_has_frames_of_its_two_colours_in_the_announced_number(
    text: str, ink: rendering.Pixel, paper: rendering.Pixel
) -> None:
    found = list(rendering.text_frames(text, ink, paper))
    assert len(found) == rendering.frames_of(text) <= 6 * rendering.MAX_TEXT + SIDE + 1
    assert all(len(frame) == PIXELS and set(frame) <= {ink, paper} for frame in found)
    assert found[0] == found[-1] == rendering.solid(paper)


@pytest.mark.parametrize("text", [None, 5, "", "x" * 65, "two\nlines", "\0"])
def test_a_text_that_cannot_be_shown_is_refused(text: object) -> None:
    with pytest.raises(ArgumentError, match="text must have 1 to 64 characters on one line"):
        rendering.arguments_of_text({"text": text})


# --- colours and pictures ---


@pytest.mark.parametrize("value", ["#FF8000", "#ff8000", [255, 128, 0], "orange"])
def test_a_colour_has_three_notations(value: object) -> None:
    assert rendering.colour(value, "colour") == (255, 128, 0)


@pytest.mark.parametrize(
    "value",
    [None, "pink?", "#ff800", "#ff80000", "#gg0000", [1, 2], [1, 2, 256], [1, 2, -1], [1, 2, 0.5], [True] * 3, 5],
)
def test_an_invalid_colour_is_refused_with_the_name_of_the_argument(value: object) -> None:
    with pytest.raises(ArgumentError, match="background must be a colour: #rrggbb"):
        rendering.colour(value, "background")


def test_a_picture_is_64_colours_or_8_texts_with_a_palette() -> None:
    row = ["red"] * 4 + ["#000000"] * 4
    long = rendering.picture(row * 8)
    assert long == rendering.picture(["rrrr...."] * 8, {"r": "red", ".": "black"})
    assert drawn(long) == ["####"] * 8


@pytest.mark.parametrize(
    ("given_pixels", "palette", "says"),
    [
        (["red"] * 63, None, "a list of 64 colours"),
        ("red", None, "a list of 64 colours"),
        (["red"] * 63 + ["x"], None, r"pixels\[63\] must be a colour"),
        (["rrrrrrrr"] * 7, {"r": "red"}, "8 texts of 8 characters"),
        (["rrrrrrr"] * 8, {"r": "red"}, "8 texts of 8 characters"),
        (["rrrrrrrr"] * 8, {"rr": "red"}, "single characters"),
        (["rrrrrrrr"] * 8, ["red"], "single characters"),
        (["rrrrrrrr"] * 8, {"r": "x"}, r"palette\['r'\] must be a colour"),
        (["rrrrrrr."] * 8, {"r": "red"}, "the character '.', which is not in the palette"),
    ],
)
def test_an_invalid_picture_is_refused(given_pixels: object, palette: object, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        rendering.picture(given_pixels, palette)


@given(st.floats(-50, 100), st.floats(-50, 100))
def test_a_warmer_bar_is_never_lower(one: float, other: float) -> None:
    low, high = sorted((one, other))

    def lit(celsius: float) -> int:
        frame = rendering.bar(celsius, 0, 40)
        return sum(frame[row * SIDE + column] != BLACK for row in range(SIDE) for column in range(3, SIDE))

    assert 0 <= lit(low) <= lit(high) <= 40
    assert (lit(-50), lit(20), lit(100)) == (0, 20, 40)


def test_the_scale_of_a_bar_has_a_mark_at_each_quarter() -> None:
    assert drawn(rendering.bar(20, 0, 40)) == ["##", "#", "##", "#", "## #####", "#  #####", "## #####", "#  #####"]


# --- turns and bits ---


@given(frames)
def test_four_quarter_turns_restore_the_frame(frame: Frame) -> None:
    turned = frame
    for _ in range(4):
        turned = rendering.rotated(turned, 90)
    assert turned == frame
    assert rendering.rotated(frame, 0) == frame
    assert rendering.rotated(rendering.rotated(frame, 270), 90) == frame
    assert rendering.rotated(frame, 180) == frame[::-1]


def test_a_quarter_turn_is_clockwise() -> None:
    corner = (WHITE, *[BLACK] * (PIXELS - 1))
    assert rendering.rotated(corner, 90).index(WHITE) == SIDE - 1
    assert rendering.rotated(corner, 270).index(WHITE) == PIXELS - SIDE


@given(frames)
def test_a_frame_is_packed_in_the_format_of_the_frame_buffer(frame: Frame) -> None:
    values = struct.unpack("=64H", rendering.packed(frame))
    assert [((value >> 11) << 3, (value >> 5 & 63) << 2, (value & 31) << 3) for value in values] == [
        (red & 0xF8, green & 0xFC, blue & 0xF8) for red, green, blue in frame
    ]


# --- health ---


@pytest.mark.parametrize(
    ("away", "share", "refused", "expected"),
    [
        (None, 0.0, 0, Health.GOOD),
        (None, 0.49, 0, Health.GOOD),
        (None, 0.5, 0, Health.TROUBLE),
        (None, 0.0, 1, Health.TROUBLE),
        (0.0, 0.0, 0, Health.TROUBLE),
        (60.0, 0.0, 0, Health.BAD),
        (None, 1.0, 0, Health.BAD),
    ],
)
def test_the_corner_shows_the_status_of_the_pipeline(
    away: float | None, share: float, refused: int, expected: Health
) -> None:
    assert health(away, share, refused) is expected


def test_the_corner_is_dim_but_visible_on_a_matrix_of_five_bits() -> None:
    for each in Health:
        assert any(part >= 8 for part in each.pixel)
        assert max(each.pixel) < 64


def test_hours_may_span_midnight() -> None:
    night, noon = hours("22:00-07:00"), hours("12:00-13:00")
    assert [within(time(hour), night) for hour in (21, 22, 0, 6, 7)] == [False, True, True, True, False]
    assert [within(time(hour), noon) for hour in (11, 12, 13)] == [False, True, False]
    assert not within(time(0), hours(""))
    for wrong in ("22-7", "24:00-07:00", "22:00-07:60", "22:00"):
        with pytest.raises(ValueError, match=wrong):
            hours(wrong)


# --- where it is shown ---


class RecordedFrames:
    """A screen that records its frames."""

    simulated = False

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.broken = False
        self.closed = 0

    def show(self, frame: Frame, /) -> None:
        if self.broken:
            raise ScreenError("the board is gone")
        self.frames.append(frame)

    def close(self) -> None:
        self.closed += 1


def shown(screen: RecordedFrames, act: Callable[[Show], None], rotation: int = 0) -> list[str]:
    """Run a function with a show in an event loop, and close it; the show's reports."""
    told: list[str] = []

    async def run() -> None:
        show = Show(lambda: screen, rotation, told.append)
        act(show)
        while show._text is not None and not show._text.done():
            await asyncio.sleep(0.001)
        await show.close()

    asyncio.run(run())
    return told


def test_the_next_command_replaces_a_text_without_waiting() -> None:
    screen = RecordedFrames()
    red = rendering.solid((255, 0, 0))

    def act(show: Show) -> None:
        show.text(rendering.text_frames("a long text", WHITE), 10.0)
        show.picture(red)

    assert shown(screen, act) == []
    assert screen.frames == [OFF, red, OFF]
    assert screen.closed == 1


def test_a_text_runs_to_its_end_and_leaves_the_matrix_dark() -> None:
    screen = RecordedFrames()
    expected = [*rendering.text_frames("ab", WHITE), OFF, OFF]
    shown(screen, lambda show: show.text(rendering.text_frames("ab", WHITE), 0.0001))
    assert screen.frames == expected


def test_the_status_overlays_the_frame_and_rotates_with_it() -> None:
    screen = RecordedFrames()

    def act(show: Show) -> None:
        show.status(Health.GOOD)
        show.picture(rendering.solid(WHITE))
        show.status(Health.GOOD)
        show.status(None)

    shown(screen, act, rotation=90)
    first, second, third, last = screen.frames
    assert first[PIXELS - SIDE] == second[PIXELS - SIDE] == Health.GOOD.pixel
    assert (first[0], second[0], third, last) == (BLACK, WHITE, rendering.solid(WHITE), OFF)


def test_a_board_that_goes_away_is_reported_once_and_reopened() -> None:
    screen = RecordedFrames()

    def act(show: Show) -> None:
        show.status(Health.GOOD)
        screen.broken = True
        show.status(Health.BAD)
        show.status(Health.BAD)
        with pytest.raises(ScreenError, match="the board is gone"):
            show.picture(OFF)
        screen.broken = False
        show.picture(rendering.solid(WHITE))

    assert shown(screen, act) == ["the status is not shown: the board is gone"]
    assert screen.frames[-2][-1] == Health.BAD.pixel


def test_the_board_s_frame_buffer_is_found_by_its_name(tmp_path: Path) -> None:
    for number, name in enumerate(("BCM2708 FB", "RPi-Sense FB")):
        folder = tmp_path / "sys" / "class" / "graphics" / f"fb{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
    assert screens.find(str(tmp_path / "sys"), "/dev") == "/dev/fb1"
    assert screens.find(str(tmp_path), "/dev") is None
    for backend in ("auto", "hat"):
        with pytest.raises(ScreenError, match="there is no Sense HAT on this machine"):
            screens.open_screen(backend, low_light=False, sys_root=str(tmp_path))
    with pytest.raises(ScreenError, match="cannot be written: No such file or directory; check that this user"):
        screens.open_screen("hat", low_light=False, sys_root=str(tmp_path / "sys"), dev_root=str(tmp_path))
    (tmp_path / "fb1").write_bytes(bytes(128))  # a file, which has no gamma to set
    with pytest.raises(ScreenError, match="cannot be written: "):
        screens.open_screen("hat", low_light=True, sys_root=str(tmp_path / "sys"), dev_root=str(tmp_path))


def test_a_frame_is_written_in_one_piece_at_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "fb"
    path.write_bytes(bytes(160))
    asked: list[int] = []
    screen: Screen = FrameBuffer(str(path), asked.append, simulated=False)
    screen.show(rendering.solid(WHITE))
    screen.show(OFF)
    screen.show(rendering.solid((255, 0, 0)))
    screen.close()
    assert path.read_bytes() == struct.pack("=64H", *[0xF800] * 64) + bytes(32)
    assert len(asked) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(asked[0])


def test_the_simulated_matrix_shows_nothing_and_answers_so() -> None:
    screen = screens.open_screen("simulated", low_light=False)
    screen.show(OFF)
    screen.close()
    assert screen.simulated
