"""The collector `camera` on a Video4Linux device of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.guest import Guest
from tests.lab.machines import batch, service

_CAMERA = ("--backend", "opencv", "--width", "320", "--height", "180", "--status-seconds", "1")


@pytest.fixture
def video(guest: Guest) -> Iterator[Guest]:
    """The machine with vivid as its only camera."""
    guest.sh("modprobe vivid n_devs=1 node_types=0x1")
    yield guest
    guest.sh("modprobe -r vivid")


def test_frames_of_a_device(video: Guest) -> None:
    with service(video, "camera", *_CAMERA, "--frames", "30") as camera:
        text = camera.program.until(r"(?s)^camera,.*^collector,[^\n]*\n")
        done = camera.program.finish()
    found = batch(text + done.stdout[len(text) :]) if text.count("collector,") == 1 else None
    statuses = [line for line in done.stdout.splitlines() if line.startswith("camera,")]
    assert statuses
    assert "camera=video0" in statuses[0]
    assert sum(int(line.split("frames=")[1].split("i")[0]) for line in statuses) == 30
    assert found is None or found.own["errors"] == 0
    assert done.code == 0, done.stderr


def test_a_camera_that_is_unplugged_is_reported_and_found_again(video: Guest) -> None:
    with service(video, "camera", *_CAMERA, "--reconnect-seconds", "2") as camera:
        camera.program.until(r"^camera,[^\n]*frames=[1-9][^\n]*\n")
        video.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind")
        camera.program.until("reconnecting", stream="stderr")
        camera.program.until(r"^collector,[^\n]*errors=[1-9][^\n]*\n")
        video.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/bind")
        camera.program.until(r"^camera,[^\n]*frames=[1-9][^\n]*\n")
        done = camera.program.finish(2)
    assert done.code == 0, done.stderr


def test_a_second_opener_gets_one_sentence(video: Guest) -> None:
    with service(video, "camera", *_CAMERA) as camera:
        camera.program.until(r"^camera,[^\n]*frames=[1-9][^\n]*\n")
        with service(video, "camera", *_CAMERA, "--frames", "1") as second:
            found = second.printed()
            done = second.program.finish(2)
        camera.program.until(r"^camera,[^\n]*frames=[1-9][^\n]*\n")
    assert found.own["up"] == 0
    assert "/dev/video0" in str(found.own["reason"])
    assert len(done.stderr.splitlines()) == 1, done.stderr
