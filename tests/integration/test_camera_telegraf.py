"""The camera under the real Telegraf, with the bundle's own snippet."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from binascii import a2b_base64
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from collectors.camera.encoding import MAX_THUMBNAIL_BYTES
from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import ParseError, decode_lines
from tests.integration.conftest import errors_of

ROOT = Path(__file__).resolve().parents[2]
SNIPPET = ROOT / "telegraf" / "telegraf.d" / "camera.conf"

AGENT = """
[agent]
  interval = "1s"
  flush_interval = "200ms"
  skip_processors_after_aggregators = true
[[outputs.file]]
  files = ["{out}"]
  data_format = "influx"
"""


class Run:
    """A Telegraf that runs the camera's snippet, and the lines that it has written so far."""

    def __init__(self, telegraf: Path, folder: Path, **environment: str) -> None:
        self.log = folder / "telegraf.log"
        self._out = folder / "out.lines"
        agent = folder / "agent.conf"
        agent.write_text(AGENT.format(out=self._out), encoding="utf-8")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [telegraf, "--config", agent, "--config", SNIPPET],
                cwd=ROOT,
                env={**clean, "SENSETIG_PYTHON": sys.executable, "SENSETIG_SETTINGS": os.devnull, **environment},
                stdout=log,
                stderr=log,
            )

    def metrics(self) -> list[Metric]:
        """The metrics written so far, whole lines only."""
        text = self._out.read_text(encoding="utf-8") if self._out.exists() else ""
        with contextlib.suppress(ParseError):  # the last line may be only half there
            return list(decode_lines(text[: text.rfind("\n") + 1]))
        return []

    def events(self) -> list[Metric]:
        """The events among them."""
        return [metric for metric in self.metrics() if metric.series.measurement == "camera_event"]

    def until(self, reached: Callable[[], bool], seconds: float = 180.0) -> None:
        """Wait for something to have happened; fails with the log when it does not, or Telegraf has ended."""
        limit = time.monotonic() + seconds
        while not reached():
            if self.process.poll() is not None or time.monotonic() > limit:
                pytest.fail(f"it has not come to that; Telegraf said:\n{self.log.read_text(encoding='utf-8')}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)

    def children(self) -> list[int]:
        """The collectors that this Telegraf runs now."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(each) for task in tasks.iterdir() for each in (task / "children").read_text().split()]

    def stop(self) -> int:
        """End Telegraf as its service would; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@pytest.fixture
def start(telegraf: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(**environment: str) -> Run:
        runs.append(Run(telegraf, tmp_path, **environment))
        return runs[-1]

    yield begin
    for run in runs:
        run.stop()


def gone(identity: int) -> bool:
    """Whether there is no such process any more."""
    return not Path(f"/proc/{identity}").exists()


def kinds(run: Run) -> list[str]:
    return [event.series.tags["kind"] for event in run.events()]


@pytest.mark.engines
def test_an_event_of_the_simulated_scene_arrives_as_start_and_end_with_the_same_id(start: Callable[..., Run]) -> None:
    run = start(
        SENSETIG_CAMERA_BACKEND="simulated",
        SENSETIG_CAMERA_PACE="10",
        SENSETIG_CAMERA_EVENT_GAP_SECONDS="2",
        SENSETIG_CAMERA_STATUS_SECONDS="5",
    )
    run.until(lambda: "end" in kinds(run))
    first, second = run.events()[:2]
    assert (first.series.tags["kind"], second.series.tags["kind"]) == ("start", "end")
    assert first.fields["event_id"] == second.fields["event_id"]
    assert first.series.tags["simulated"] == "true"
    assert first.time_ns is not None
    assert second.time_ns is not None
    duration = second.fields["duration_seconds"]
    assert duration == pytest.approx((second.time_ns - first.time_ns) / 1e9)
    assert 4 < float(duration) < 9
    for event in (first, second):
        thumbnail = event.fields["thumbnail"]
        assert isinstance(thumbnail, str)
        assert len(thumbnail) <= MAX_THUMBNAIL_BYTES
        picture = cv2.imdecode(np.frombuffer(a2b_base64(thumbnail.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (180, 240, 3)
    status = next(metric for metric in run.metrics() if metric.series.measurement == "camera")
    assert status.fields["frames"] == 50
    assert status.fields["frames_per_second"] == pytest.approx(10)


@pytest.mark.engines
def test_a_stop_of_telegraf_in_the_middle_of_an_event_ends_the_event_and_the_collector(
    start: Callable[..., Run],
) -> None:
    # The event lasts until the stop, however late that comes.
    run = start(SENSETIG_CAMERA_BACKEND="simulated", SENSETIG_CAMERA_EVENT_GAP_SECONDS="600")
    run.until(lambda: bool(kinds(run)))
    (collector,) = run.children()
    assert run.stop() == 0
    assert gone(collector)
    # Telegraf kills a collector that takes longer than 5 s, and a killed one writes no end.
    begin, end = run.events()
    assert end.series.tags["kind"] == "end"
    assert end.fields["event_id"] == begin.fields["event_id"]
    assert end.fields["interrupted"] is True
    assert errors_of(run.log.read_text(encoding="utf-8")) == []


@pytest.mark.engines
def test_a_recording_is_accounted_for_frame_by_frame_and_then_begins_again(
    start: Callable[..., Run], recordings: Path
) -> None:
    film = recordings / "camera" / "pedestrians.avi"
    if not film.is_file():
        pytest.skip(f"no recording {film.name}")
    run = start(SENSETIG_CAMERA_SOURCE=str(film), SENSETIG_CAMERA_PACE="0")
    run.until(lambda: "end" in kinds(run))
    run.until(lambda: "Restarting in" in run.log.read_text(encoding="utf-8"))
    run.stop()
    metrics = [metric for metric in run.metrics() if metric.series.tags.get("camera") == "pedestrians"]
    assert {metric.series.tags["replayed"] for metric in metrics} == {"true"}
    frames = [int(metric.fields["frames"]) for metric in metrics if metric.series.measurement == "camera"]
    assert sum(frames) == 795
    assert kinds(run) == ["start", "end"]
    assert "exited: <nil>" in run.log.read_text(encoding="utf-8"), "the end of a file is no failure"


@pytest.mark.engines
def test_without_a_camera_telegraf_logs_one_sentence_and_stores_the_reason(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    run = start(SENSETIG_CAMERA_SYS_ROOT=str(tmp_path))
    run.until(lambda: bool(run.metrics()))
    assert run.process.poll() is None
    log = run.log.read_text(encoding="utf-8")
    assert log.count("camera: no camera is connected; name a video file") == 1
    assert "Restarting in" not in log
    assert {metric.series.measurement for metric in run.metrics()} == {"collector"}
    first = run.metrics()[0]
    assert first.fields["up"] == 0
    assert str(first.fields["reason"]).startswith("no camera is connected")
    assert run.stop() == 0
