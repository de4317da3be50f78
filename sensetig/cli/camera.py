"""``sensetig camera``: set up a camera."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collectors.camera import settings
from collectors.core.api import Unavailable
from collectors.core.settings import Setting, SettingsError, Values
from sensetig.options import FiniteRange

if TYPE_CHECKING:
    from collectors.camera.backends import Frame

#: Settings that can be tried out without saving them in the settings file.
TUNABLE: tuple[Setting[Any], ...] = (*settings.TUNABLE, settings.CONSECUTIVE_FRAMES, settings.EVENT_GAP_SECONDS)


@click.group()
def command() -> None:
    """Set up a camera."""


def _with_settings(function: Any) -> Any:
    for setting in reversed(TUNABLE):
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
    help="Image file to write, .png or .jpg.",
)
@click.option(
    "--seconds",
    type=FiniteRange(min=1),
    help="Analyse this many seconds; by default 20 s of a device, and all of a file.",
)
@click.option(
    "--picture",
    "numbers",
    type=click.IntRange(min=0),
    multiple=True,
    help="Draw the frame with this number, counted from 0.",
)
@click.option(
    "--most", type=click.IntRange(1, 12), default=3, show_default=True, help="Number of frames to draw of each kind."
)
@click.option("--live", is_flag=True, help="Serve a page with sliders on this machine instead, until Ctrl-C.")
@click.option("--port", type=click.IntRange(1, 65535), default=8089, show_default=True, help="Port of that page.")
@_with_settings
def tune(
    source: str,
    out: Path,
    seconds: float | None,
    numbers: tuple[int, ...],
    most: int,
    live: bool,
    port: int,
    **options: str | None,
) -> None:
    """Draw the detector's view of SOURCE, and suggest settings.

    SOURCE is a file, a device or a URL, as in the collector's setting of that name, or scene:NAME for a simulated
    scene. Each row of the image shows a frame with a box around the motion, the background, the difference between
    the two, and the changed pixels. Without --picture, the frames with the most motion are drawn, and those with the
    most change that did not count as motion. All other settings are read as the collector reads them.

    With --live, a page shows the same of the live picture, tries other settings, and writes them to the settings
    file.
    """
    for name, value in {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}.items():
        os.environ.setdefault(name, value)
    try:
        if live:
            _serve(source, port, options)
            return
        values, endless = _values(source, options)
        _tune(values, out, seconds if seconds is not None else 20.0 if endless else None, numbers, most)
    except (SettingsError, Unavailable) as error:
        raise click.ClickException(str(error)) from None
    except ImportError as error:
        raise click.ClickException(f"{error}; install the camera's packages: pip install 'sensetig[camera]'") from None


def _values(source: str, options: dict[str, str | None]) -> tuple[Values, bool]:
    """The settings for this source at full speed, and whether the source is endless."""
    from collectors.core.cli import load_settings

    given = {**options, **_source(source), "pace": "0", "frames": "0"}
    return load_settings("camera", settings.SETTINGS, given), not os.path.isfile(source)


def _source(source: str) -> dict[str, str | None]:
    """The options that select a source."""
    kind, _, scene = source.partition(":")
    if kind == "scene":
        return {"backend": "simulated", "scene": scene}
    return {"backend": "opencv", "source": source}


def _serve(source: str, port: int, options: dict[str, str | None]) -> None:
    """Serve the tuning page on loopback; all other features in the camera's settings are disabled."""
    import contextlib
    import socket
    import threading

    from collectors import camera
    from collectors.core.api import Context, Streaming
    from collectors.core.cli import load_settings
    from collectors.core.errors import ErrorReporter

    given = {**options, **_source(source), "pace": "1", "frames": "0", "repeat": "true"}
    loaded = load_settings("camera", settings.SETTINGS, given)
    chosen: dict[str, object] = {each.name: loaded[each] for each in settings.SETTINGS}
    for setting in (settings.MEDIA_DIR, settings.PUBLISH_URL, settings.COMMAND_URL, settings.CONTROL_TOKEN_FILE):
        chosen[setting.name] = None
    chosen.update(control_certificate=None, control_key=None, control_host="127.0.0.1")
    chosen.update(control_port=port, control_tune=True)
    values = Values(chosen, file=loaded.file, overriding=loaded.overriding)
    report = ErrorReporter("camera", lambda line: click.echo(line, err=True))
    collector = camera.create(Context(values, report, once=False, host=socket.gethostname(), clock_ns=time.time_ns))
    assert isinstance(collector, Streaming)
    click.echo(f"Open http://127.0.0.1:{port}/tune in a browser on this machine. Ctrl-C ends it.")
    never = threading.Event()
    with contextlib.closing(collector), contextlib.suppress(KeyboardInterrupt):
        for _ in collector.stream(lambda seconds, _descriptor=None: never.wait(seconds)):
            pass


def _tune(values: Values, out: Path, seconds: float | None, numbers: tuple[int, ...], most: int) -> None:
    import cv2

    from collectors.camera.backends import open_backend
    from collectors.camera.detector import Detector
    from collectors.camera.events import EventTracker
    from collectors.core.errors import ErrorReporter
    from sensetig.camera_tuning import Sample, SampleSelector, Summary, advice, sheet

    config = settings.load_config(values)
    report = ErrorReporter("camera", lambda line: click.echo(line, err=True))
    backend = open_backend(values, report, time.time_ns, time.monotonic)
    detector, summary, selector = Detector(config.detector), Summary(), SampleSelector(most, numbers)
    events: EventTracker[int] = EventTracker("tune", config.consecutive_frames, config.event_gap_seconds)
    starts = 0
    try:
        for number, frame in enumerate(_frames(backend.frames(lambda _seconds: False), seconds)):
            detection = detector.detect(frame.image, frame.seconds, video_range=frame.video_range)
            for event in events.update(frame.seconds, frame.time_ns, detection, number):
                starts += event.kind == "start"
            summary.add(detection, detector.state)
            if number == 0:
                first = frame.seconds
            selector.add(Sample(number, frame.seconds - first, frame.image, detection, detector.state))
    finally:
        backend.close()
    samples = selector.samples
    if not samples:
        raise click.ClickException(f"none of the requested frames exists; there were {summary.frames}")
    try:
        written = cv2.imwrite(str(out), sheet(samples))
    except cv2.error:
        raise click.ClickException(f"{out} is not the name of an image file; use .png or .jpg") from None
    if not written:
        raise click.ClickException(f"{out} cannot be written; check that its folder exists and is writable")
    for sentence in advice(summary, starts, config.detector):
        click.echo(sentence)
    click.echo(f"Drew {len(samples)} frames in {out}.")


def _frames(frames: Iterator[Frame | None], seconds: float | None) -> Iterator[Frame]:
    """The frames of the first *seconds*, or all."""
    taken = (each for each in frames if each is not None)
    first = next(taken, None)
    if first is None:
        return
    for each in itertools.chain([first], taken):
        if seconds is not None and each.seconds - first.seconds > seconds:
            return
        yield each
