"""``sensetig camera``: what helps to set up a camera."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collectors.camera import detection_settings, settings
from collectors.core.api import Unavailable
from collectors.core.settings import Setting, SettingsError, Values
from sensetig.options import FiniteRange

if TYPE_CHECKING:
    from collectors.camera.backends import Frame

#: What can be tried out without writing it into the settings file.
TRIED: tuple[Setting[Any], ...] = (
    settings.DETECT_WIDTH,
    settings.MIN_AREA_PERCENT,
    settings.NOISE_FACTOR,
    settings.LEAST_DIFFERENCE,
    settings.BACKGROUND_SECONDS,
    settings.LIGHT_SWITCH_PERCENT,
    settings.WARM_UP_SECONDS,
    settings.CONSECUTIVE_FRAMES,
    settings.EVENT_GAP_SECONDS,
    detection_settings.MASK,
    detection_settings.SHAKE_PERCENT,
)


@click.group()
def command() -> None:
    """Set up a camera."""


def _with_settings(function: Any) -> Any:
    for setting in reversed(TRIED):
        default = "" if setting.default in (None, "") else f" [default: {setting.default}]"
        option = click.option(
            "--" + setting.name.replace("_", "-"), setting.name, metavar="VALUE", help=f"{setting.help}{default}"
        )
        function = option(function)
    return function


@command.command()
@click.argument("source")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default=Path("camera-tune.png"),
    show_default=True,
    help="The picture to write; its ending says the kind, .png or .jpg.",
)
@click.option("--seconds", type=FiniteRange(min=1), help="Look for so long; a device for 20 s, a file in full.")
@click.option("--picture", "numbers", type=click.IntRange(min=0), multiple=True, help="Draw this picture, from 0.")
@click.option("--most", type=click.IntRange(1, 12), default=3, show_default=True, help="Pictures drawn of each kind.")
@_with_settings
def tune(
    source: str, out: Path, seconds: float | None, numbers: tuple[int, ...], most: int, **options: str | None
) -> None:
    """Draw the detector's view of SOURCE (a file, device, URL or scene), and suggest settings.

    SOURCE is what the collector's setting of that name takes, or scene:NAME for a simulated one. Each row of the
    picture shows the picture with a box around what moves, the background, the difference from it, and what has
    changed. Without --picture, those are drawn in which most moved, and those in which most changed and did not
    count as motion. Settings come from where the collector has them, too.
    """
    for name, value in {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}.items():
        os.environ.setdefault(name, value)
    try:
        values, live = _values(source, options)
        _tune(values, out, seconds if seconds is not None else 20.0 if live else None, numbers, most)
    except (SettingsError, Unavailable) as error:
        raise click.ClickException(str(error)) from None
    except ImportError as error:
        raise click.ClickException(f"{error}; install what it needs: pip install 'sensetig[camera]'") from None


def _values(source: str, options: dict[str, str | None]) -> tuple[Values, bool]:
    """The settings with this source, as fast as it goes; and whether it never ends."""
    from collectors.core.cli import load_settings

    kind, _, scene = source.partition(":")
    given = {**options, "pace": "0", "frames": "0"}
    if kind == "scene":
        given.update(backend="simulated", scene=scene)
    else:
        given.update(backend="opencv", source=source)
    return load_settings("camera", settings.SETTINGS, given), not os.path.isfile(source)


def _tune(values: Values, out: Path, seconds: float | None, numbers: tuple[int, ...], most: int) -> None:
    import cv2

    from collectors.camera.backends import open_backend
    from collectors.camera.detector import Detector
    from collectors.camera.events import Events
    from collectors.core.errors import ErrorReporter
    from sensetig.camera_tuning import Choice, Sight, Tally, advice, sheet

    plan = settings.plan(values)
    report = ErrorReporter("camera", lambda line: click.echo(line, err=True))
    backend = open_backend(values, report, time.time_ns, time.monotonic)
    detector, tally, choice = Detector(plan.sensitivity), Tally(), Choice(most, numbers)
    events: Events[int] = Events("tune", plan.consecutive_frames, plan.event_gap_seconds)
    starts = 0
    try:
        for number, frame in enumerate(_frames(backend.frames(lambda _seconds: False), seconds)):
            seen = detector.look(frame.image, frame.seconds)
            for event in events.follow(frame.seconds, frame.time_ns, seen, number):
                starts += event.kind == "start"
            tally.add(seen, detector.working, plan.sensitivity.min_area_percent)
            if number == 0:
                first = frame.seconds
            choice.offer(Sight(number, frame.seconds - first, frame.image, seen, detector.working))
    finally:
        backend.close()
    sights = choice.sights
    if not sights:
        raise click.ClickException(f"none of the pictures asked for came; there were {tally.pictures}")
    try:
        written = cv2.imwrite(str(out), sheet(sights))
    except cv2.error:
        raise click.ClickException(f"{out} has an ending that is no picture's; use .png or .jpg") from None
    if not written:
        raise click.ClickException(f"{out} cannot be written; see that its folder exists and may be written to")
    for sentence in advice(tally, starts, plan.sensitivity):
        click.echo(sentence)
    click.echo(f"{len(sights)} pictures are drawn in {out}.")


def _frames(frames: Iterator[Frame | None], seconds: float | None) -> Iterator[Frame]:
    """The pictures of the first so many seconds, or all."""
    taken = (each for each in frames if each is not None)
    first = next(taken, None)
    if first is None:
        return
    for each in itertools.chain([first], taken):
        if seconds is not None and each.seconds - first.seconds > seconds:
            return
        yield each
