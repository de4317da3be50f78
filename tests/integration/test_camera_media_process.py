"""The collector as a process, with media: what its points name is there when it has ended, however it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from collectors.core.line_protocol import FieldValue
from collectors.core.line_protocol_parser import decode

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def camera(*options: str) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "collectors", "camera", *options, "--settings", os.devnull],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def events(lines: list[str]) -> list[dict[str, FieldValue]]:
    return [
        dict(metric.fields)
        for metric in map(decode, filter(None, lines))
        if metric.series.measurement == "camera_event"
    ]


def seconds(path: Path) -> float:
    """How long a clip is, by its last picture."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times[-1] is not None
    return times[-1]


def test_each_end_of_an_event_names_a_snapshot_and_a_clip_that_are_there(tmp_path: Path) -> None:
    options = ("--backend", "simulated", "--pace", "0", "--frames", "500", "--event-gap-seconds", "5")
    with camera(*options, "--media-dir", str(tmp_path)) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0
    assert err == ""
    ends = [each for each in events(out.splitlines()) if "duration_seconds" in each]
    assert len(ends) == 2
    for end in ends:
        assert (tmp_path / str(end["snapshot_path"])).read_bytes()[:2] == b"\xff\xd8"
        moved = float(end["duration_seconds"])
        assert moved + 3 <= seconds(tmp_path / str(end["clip_path"])) <= moved + 6.2
    assert list(tmp_path.rglob("*.part")) == []


def test_a_stop_amid_an_event_finishes_its_clip(tmp_path: Path) -> None:
    options = ("--backend", "simulated", "--pace", "4", "--event-gap-seconds", "600")  # it lasts until the stop
    with camera(*options, "--media-dir", str(tmp_path)) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not events(lines):
            line = process.stdout.readline()
            assert line, "the collector ended before the first event"
            lines.append(line.strip())
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    (end,) = events(out.splitlines())
    assert end["interrupted"] is True
    assert seconds(tmp_path / str(end["clip_path"])) > 2
    assert list(tmp_path.rglob("*.part")) == []


def test_a_folder_that_cannot_be_used_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with camera("--backend", "simulated", "--media-dir", str(tmp_path / "file")) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 2
    assert out == ""
    assert err == f"E! camera: the folder for media, {tmp_path}/file, cannot be used: File exists\n"


def test_memory_does_not_grow_over_many_clips(tmp_path: Path) -> None:
    try:
        import psutil
    except ImportError:
        pytest.skip("psutil is not installed")
    options = ("--backend", "simulated", "--pace", "0", "--event-gap-seconds", "5", "--media-megabytes", "5")
    with camera(*options, "--media-dir", str(tmp_path)) as process:
        assert process.stdout is not None
        watched = psutil.Process(process.pid)
        taken: list[int] = []
        ends = 0
        for line in process.stdout:
            if events([line.strip()]) and "duration_seconds" in events([line.strip()])[0]:
                ends += 1
                if ends in (6, 18):
                    taken.append(watched.memory_info().rss)
                if ends == 18:
                    break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=240)
    assert taken[1] < taken[0] + 15e6
    assert sum(each.stat().st_size for each in tmp_path.rglob("*.mp4")) < 5e6
