"""Two cameras on one machine: one settings file, and variables for the differences."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from collectors.core.line_protocol import Metric
from collectors.core.line_protocol_parser import decode
from sensetig.demo.testbed import ports

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def camera(file: Path, name: str, port: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One of the cameras, as docs/how-to/camera-setup.md sets it up."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    own = {
        "SENSETIG_CAMERA_NAME": name,
        "SENSETIG_CAMERA_CONTROL_PORT": str(port),
        "SENSETIG_CAMERA_MEDIA_DIR": str(folder / name),
        "SENSETIG_CAMERA_SEED": str(len(name)),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "collectors", "camera", "--execd"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**inherited, **own, "PYTHONPATH": str(ROOT), "SENSETIG_SETTINGS": str(file)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def until_event(process: subprocess.Popen[str]) -> Metric:
    """The end of the first event of a camera."""
    assert process.stdout is not None
    for line in process.stdout:
        metric = decode(line)
        if metric.series.measurement == "camera_event" and metric.series.tags["kind"] == "end":
            return metric
    raise AssertionError("the camera has ended")


def test_two_cameras_have_separate_names_ports_and_folders(tmp_path: Path) -> None:
    file = tmp_path / "sensetig.toml"
    file.write_text('[camera]\nbackend = "simulated"\nscene = "person"\nevent_gap_seconds = 2.0\npace = 10.0\n')
    given = {name: ports.any_free() for name in ("front", "back")}
    with ExitStack() as stack:
        started = {name: stack.enter_context(camera(file, name, port, tmp_path)) for name, port in given.items()}
        for name, process in started.items():
            event = until_event(process)
            assert event.series.tags["camera"] == name
            assert str(event.fields["event_id"]).endswith(f"-{name}")
            assert str(event.fields["snapshot_path"]).endswith(f"-{name}.jpg")
            connection = http.client.HTTPConnection("127.0.0.1", given[name], timeout=60)
            connection.request("GET", "/healthz")
            assert json.loads(connection.getresponse().read())["camera"] == name
            connection.close()
        stored = {each.parent.relative_to(tmp_path).parts[0] for each in tmp_path.rglob("*Z-*")}
        assert stored <= {"front", "back"}
