"""Control of the camera: start, passing on pictures and events, and pausing detection."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.camera import control
from collectors.camera.backends import Frame
from collectors.camera.backends.simulated import Scene
from collectors.camera.collector import CameraCollector, DetectionSwitch
from collectors.camera.control import Control
from collectors.camera.detector import Detection
from collectors.camera.settings import Config, DetectorConfig
from collectors.core.api import Context, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.line_protocol import Metric
from collectors.core.settings import Values
from sensetig.demo.testbed import ports
from tests.golden import ROOT
from tests.unit.camera_control_support import (
    BASE_NS,
    BOUND_SECONDS,
    FRAME,
    PATIENT,
    ScriptedMedia,
    Viewer,
    answer_of,
    event,
    site,
    still,
    until,
)

TOKEN = "0123456789abcdef" * 2


class Made:
    """Control made with settings."""

    def __init__(self, **values: object) -> None:
        self.errors: list[str] = []
        self.media = ScriptedMedia()
        self.switch = DetectionSwitch()
        context = Context(Values(values), ErrorReporter("camera", self.errors.append), False, "pi", time.time_ns)
        self.control = Control("door", self.media, self.switch, context, still)


def refusal(**values: object) -> str:
    """Why control does not start with these settings."""
    with pytest.raises(Unavailable) as refused:
        Made(**values)
    return str(refused.value)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore how long a busy machine takes to stop a server."""
    monkeypatch.setattr(control, "STOP_SECONDS", BOUND_SECONDS)


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return ports.any_free()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for loopback that signs itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    files = str(folder / "camera.crt"), str(folder / "camera.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=camera", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True, timeout=60)
    return files


def secret(folder: Path, text: str = TOKEN, mode: int = 0o600) -> str:
    """A file with a secret."""
    path = folder / "secret"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return str(path)


def test_a_port_or_a_broker_turns_control_on() -> None:
    from collectors.camera.settings import control_enabled

    assert not control_enabled(Values())
    assert not control_enabled(Values({"control_host": "0.0.0.0", "command_allow": "ping"}))  # noqa: S104
    assert control_enabled(Values({"control_port": 80}))
    assert control_enabled(Values({"command_url": "mqtt://localhost"}))


def test_a_camera_without_control_imports_no_server() -> None:
    code = (
        "import sys, collectors.camera.settings;"
        "sys.exit(any(name in sys.modules for name in ('uvicorn', 'starlette', 'paho', 'collectors.camera.control')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "camera.example"])  # noqa: S104
def test_a_reachable_host_needs_a_token_and_a_certificate(
    host: str, port: int, tmp_path: Path, certificate: tuple[str, str]
) -> None:
    base = {"control_port": port, "control_host": host}
    token, tls = {"control_token_file": secret(tmp_path)}, {"control_certificate": certificate[0]}
    assert refusal(**base) == (
        f"control_host is {host}, which others can reach, so control_token_file and control_certificate must be set "
        "too; or leave control_host at 127.0.0.1"
    )
    assert "so control_certificate must be set too" in refusal(**base, **token)
    assert "so control_token_file must be set too" in refusal(**base, **tls)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_loopback_needs_neither(host: str, port: int) -> None:
    made = Made(control_port=port, control_host=host)
    assert made.control.port == port
    made.control.close()


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (TOKEN, 0o640, "may be read by others (mode 0640); chmod 600"),
        (TOKEN, 0o604, "may be read by others (mode 0604); chmod 600"),
        ("", 0o600, "is empty"),
        ("short", 0o600, "one token of at least 32 characters"),
        (f"{TOKEN} {TOKEN}", 0o600, "one token of at least 32 characters"),
        (f"{TOKEN}\n{TOKEN}\n", 0o600, "one token of at least 32 characters"),
        ("é" * 32, 0o600, "one token of at least 32 characters"),
    ],
)
def test_an_invalid_token_is_refused_and_not_shown(tmp_path: Path, port: int, text: str, mode: int, says: str) -> None:
    path = secret(tmp_path, text, mode)
    found = refusal(control_port=port, control_token_file=path)
    assert path in found
    assert says in found
    assert not text or text.strip() not in found


def test_a_missing_token_file_is_refused(tmp_path: Path, port: int) -> None:
    found = refusal(control_port=port, control_token_file=str(tmp_path / "none"))
    assert found == (
        f"control_token_file {tmp_path}/none cannot be read: No such file or directory; name a file that this user can "
        "read"
    )


def test_a_token_may_end_with_a_line_break(tmp_path: Path, port: int) -> None:
    made = Made(control_port=port, control_token_file=secret(tmp_path, f"{TOKEN}\n"))
    made.control.on_frame(FRAME, Detection())
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_SECONDS)
    connection.request("GET", "/healthz", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer_of(connection).status == 200
    connection.close()
    made.control.close()


def test_an_invalid_certificate_is_refused(tmp_path: Path, port: int, certificate: tuple[str, str]) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_text("nothing")
    assert "control_key is set and control_certificate is not" in refusal(control_port=port, control_key="x")
    for crt, key in ((str(nothing), certificate[1]), (certificate[0], str(nothing)), (str(tmp_path / "no"), None)):
        found = refusal(control_port=port, control_certificate=crt, control_key=key)
        assert found.startswith(f"control_certificate {crt} cannot be used")


def test_a_key_with_a_passphrase_is_refused(tmp_path: Path, port: int, certificate: tuple[str, str]) -> None:
    locked = str(tmp_path / "locked.key")
    command = ["openssl", "ec", "-in", certificate[1], "-aes256", "-passout", "pass:word", "-out", locked]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    found = refusal(control_port=port, control_certificate=certificate[0], control_key=locked)
    assert found.startswith(f"control_certificate {certificate[0]} cannot be used with {locked}")


def test_with_a_certificate_only_https_is_answered(certificate: tuple[str, str]) -> None:
    with site(token=TOKEN, certificate=certificate[0], key=certificate[1]) as on:
        trusting = ssl.create_default_context(cafile=certificate[0])
        connection = http.client.HTTPSConnection("127.0.0.1", on.port, timeout=BOUND_SECONDS, context=trusting)
        connection.request("GET", "/snapshot.jpg", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer_of(connection).body.strip() == b"picture 1"
        connection.close()
        assert on.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        assert on.complaints == []


def test_pictures_and_events_are_passed_to_the_media_and_recorded(port: int) -> None:
    made = Made(control_port=port)
    made.control.on_frame(FRAME, Detection())
    made.media.fields = {"snapshot_path": "a.jpg"}
    assert made.control.on_event(event("end")) == {"snapshot_path": "a.jpg"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_SECONDS)
    connection.request("GET", "/events")
    found = answer_of(connection).json["events"]
    connection.close()
    assert [each["snapshot"] for each in found] == ["/media/a.jpg"]
    assert made.media.pictures == 1
    assert not made.media.closed
    made.control.close()
    assert made.media.closed
    assert made.errors == []


def test_errors_of_the_server_are_counted_with_the_next_picture(port: int) -> None:
    made = Made(control_port=port)
    made.control.on_frame(FRAME, Detection())
    made.media.failure = RuntimeError("no encoder")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND_SECONDS)
    connection.request("GET", "/snapshot.jpg")
    assert answer_of(connection).status == 500
    connection.close()
    assert made.errors == []

    def seen() -> bool:
        made.control.on_frame(FRAME, Detection())
        return bool(made.errors)

    until(seen)
    assert "RuntimeError: no encoder" in made.errors[0]
    made.control.close()


def test_a_port_in_use_leaves_nothing_open(port: int) -> None:
    first = Made(control_port=port)
    assert f"port {port}: Address already in use" in refusal(control_port=port)
    first.control.close()
    Made(control_port=port).control.close()


class Script:
    """A backend that shows the simulated scene."""

    name = "door"
    dropped = 0
    tags: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, until_seconds: float, act: Callable[[float], None]) -> None:
        self._frames = round(until_seconds * 10)
        self._act = act

    def frames(self, wait: Callable[[float], bool]) -> Iterator[Frame | None]:
        del wait
        scene = Scene(1)
        for number in range(self._frames):
            self._act(number / 10)
            yield Frame(scene.draw(number / 10), 50 + number / 10, BASE_NS + number * 10**8)

    def close(self) -> None:
        """Nothing is open."""


def watched(until_seconds: float, switched: dict[float, bool]) -> list[Metric]:
    """The metrics of the scene, with detection switched at these seconds."""
    switch = DetectionSwitch()

    def act(seconds: float) -> None:
        if seconds in switched:
            switch.on = switched[seconds]

    plan = Config(DetectorConfig(warm_up_seconds=0.5), event_gap_seconds=2.0, status_seconds=2.0)
    report = ErrorReporter("camera", lambda _: None)
    watch = CameraCollector(
        Script(until_seconds, act),
        plan,
        report,
        lambda: BASE_NS,
        timer=lambda: 0.0,
        stopwatch=lambda: 0.0,
        detection=switch,
    )
    return [metric for batch in watch.stream(lambda _: False) for metric in batch]


def events(found: list[Metric]) -> list[str]:
    """The kinds of the events."""
    return [metric.series.tags["kind"] for metric in found if metric.series.measurement == "camera_event"]


def test_without_detection_there_are_no_events_and_the_status_shows_it() -> None:
    assert "start" in events(watched(12.0, {}))
    found = watched(12.0, {0.0: False})
    assert events(found) == []
    status = [metric.fields for metric in found if metric.series.measurement == "camera"]
    assert status
    assert all(fields["detection"] is False and fields["frames"] for fields in status)


def test_turning_detection_off_ends_an_open_event() -> None:
    walking = watched(20.0, {})
    start = next(metric for metric in walking if metric.series.tags.get("kind") == "start")
    assert start.time_ns is not None
    off = round((start.time_ns - BASE_NS) / 1e9, 1) + 1.0
    found = watched(20.0, {off: False})
    assert events(found) == ["start", "end"]
    end = next(metric for metric in found if metric.series.tags.get("kind") == "end")
    assert end.fields["interrupted"] is True
    assert end.time_ns is not None
    assert end.time_ns <= BASE_NS + off * 1e9


def test_detection_learns_first_when_it_is_turned_on_again() -> None:
    assert events(watched(12.0, {0.0: False, 3.0: True}))[0] == "start"


def test_the_camera_process_ends_with_an_open_stream(port: int, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENSETIG_")}
    environment |= {"PYTHONPATH": str(ROOT), "SENSETIG_SETTINGS": os.devnull}
    command = [sys.executable, "-c", PATIENT, "camera", "--backend", "simulated", "--control-port", str(port)]
    command += ["--media-dir", str(tmp_path / "media")]
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
        try:
            until(lambda: ports.is_listening(port) or process.poll() is not None)
            viewer = Viewer(port)
            assert viewer.picture().startswith(b"\xff\xd8")
            process.send_signal(signal.SIGTERM)
            assert process.wait(BOUND_SECONDS) == 0
            while viewer.picture():
                pass
            viewer.close()
        finally:
            process.kill()
            process.wait()
    assert (tmp_path / "err").read_bytes() == b""


def test_the_collector_reports_why_it_does_not_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "collectors", "camera", "--backend", "simulated", "--control-port", "1"]
    command += ["--control-host", "0.0.0.0"]  # noqa: S104
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SENSETIG_SETTINGS": os.devnull}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("E! camera: control_host is 0.0.0.0, which others can reach, so ")
    assert done.stderr.count("\n") == 1
