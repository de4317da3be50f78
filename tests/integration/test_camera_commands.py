"""Commands through a real broker with users and access lists: carried out once, answered, refused, and kept."""

from __future__ import annotations

import json
import queue
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from collectors.camera import control
from collectors.camera.collector import DetectionSwitch
from collectors.camera.control import Control
from collectors.camera.detector import Detection
from collectors.camera.media import MediaError
from collectors.core.api import Context, Unavailable
from collectors.core.errors import ErrorReporter
from collectors.core.settings import Values
from collectors.messaging import commands
from tests.integration import mosquitto
from tests.unit.camera_control_support import BOUND_SECONDS, FRAME, ScriptedMedia, until

PASSWORDS = {"camera": "look", "operator": "ask", "stranger": "who"}

#: The example in the docs.
ACCESS = """
user camera
topic read sensetig/pi/command/#
topic write sensetig/pi/result/#

user operator
topic write sensetig/+/command/#
topic read sensetig/+/result/#
"""


class Guarded(mosquitto.Mosquitto):
    """A broker with users and access lists."""

    def __init__(self, program: str, folder: Path) -> None:
        super().__init__(
            program,
            folder,
            "allow_anonymous true\npersistence true\nautosave_on_changes true\nautosave_interval 1\n",
        )
        self.folder = folder
        passwords, access, config = folder / "passwords", folder / "access", folder / "mosquitto.conf"
        passwords.touch()
        for user, password in PASSWORDS.items():
            subprocess.run(["mosquitto_passwd", "-b", passwords, user, password], check=True, timeout=120)
        access.write_text(ACCESS, encoding="utf-8")
        for file in (passwords, access):
            file.chmod(0o600)
        text = config.read_text(encoding="utf-8")
        config.write_text(
            text.replace(
                "allow_anonymous true", f"allow_anonymous false\npassword_file {passwords}\nacl_file {access}"
            ),
            encoding="utf-8",
        )

    def encrypt(self, certificate: str, key: str) -> None:
        """Speak TLS alone, from the next start on."""
        with (self.folder / "mosquitto.conf").open("a", encoding="utf-8") as config:
            config.write(f"certfile {certificate}\nkeyfile {key}\n")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore how long a busy machine takes to end a connection."""
    monkeypatch.setattr(control, "STOP_SECONDS", BOUND_SECONDS)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Guarded]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
    if program is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("no mosquitto on this machine: install the package mosquitto to try commands on a real broker")
    (tmp_path / "broker").mkdir()
    made = Guarded(program, tmp_path / "broker")
    made.start()
    try:
        yield made
    finally:
        made.stop()


class Camera:
    """Control of a scripted camera that receives commands."""

    def __init__(self, broker: Guarded, folder: Path, user: str = "camera", **values: object) -> None:
        password = folder / "password"
        password.write_text(PASSWORDS[user] + "\n", encoding="utf-8")
        password.chmod(0o600)
        settings: dict[str, object] = {
            "command_url": f"mqtt://{user}@127.0.0.1:{broker.port}",
            "command_password_file": str(password),
            "command_device": "pi",
            "clip_seconds_most": 60.0,
            "command_ids_file": str(folder / "ids" / "commands.json"),
        }
        self.errors: list[str] = []
        self.media = ScriptedMedia()
        self.switch = DetectionSwitch()
        self.report = ErrorReporter("camera", self.errors.append)
        context = Context(Values({**settings, **values}), self.report, False, "pi", time.time_ns)
        self.control = Control("door", self.media, self.switch, context, time.monotonic)

    def told(self) -> list[str]:
        """The counted errors, after the next picture."""
        self.control.on_frame(FRAME, Detection())
        return self.errors

    def ready(self) -> None:
        """Wait until it takes commands."""
        commands_of_it = self.control._commands
        assert commands_of_it is not None
        assert commands_of_it.subscribed.wait(BOUND_SECONDS)


class Operator:
    """Sends commands and takes answers."""

    def __init__(self, broker: Guarded, user: str = "operator", certificate: str | None = None) -> None:
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._there: queue.Queue[None] = queue.Queue()
        self._ids = 0
        self.client = Client(CallbackAPIVersion.VERSION2, f"test-{user}", clean_session=False, protocol=MQTTv311)
        self.client.username_pw_set(user, PASSWORDS[user])
        if certificate is not None:
            self.client.tls_set(certificate)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("sensetig/+/result/+", qos=1)
        self.client.on_subscribe = lambda *_: self._there.put(None)
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        self.there()

    def there(self) -> None:
        """Wait until it is connected, again after a restart."""
        self._there.get(timeout=BOUND_SECONDS)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del client, userdata
        self._answers.put({"topic": message.topic, "retain": message.retain, **json.loads(message.payload)})

    def send(self, name: str, retain: bool = False, **content: Any) -> str:
        """Send a command; its id."""
        self._ids += 1
        body = {"id": f"c{self._ids}", "expires": time.time() + 600, **content}
        self.raw(f"sensetig/pi/command/{name}", json.dumps(body).encode(), retain=retain)
        return str(body["id"])

    def raw(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send anything, and wait until the broker has it."""
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(BOUND_SECONDS)

    def answer(self) -> dict[str, Any]:
        """The next answer."""
        return self._answers.get(timeout=BOUND_SECONDS)

    def ask(self, name: str, **content: Any) -> dict[str, Any]:
        """The answer to a command."""
        command = self.send(name, **content)
        found = self.answer()
        assert (found.pop("topic"), found.pop("id")) == (f"sensetig/pi/result/{command}", command)
        assert found.pop("retain") is False
        assert found.pop("name") == name
        return found

    def nothing_more(self) -> bool:
        """Whether no answer is left: one to a ping, which comes after all the others, is the next."""
        last = self.send("camera_ping")
        return bool(self.answer()["id"] == last)

    def close(self) -> None:
        """Go away."""
        self.client.disconnect()
        self.client.loop_stop()
        self.client.reinitialise()  # closes the sockets that wake its thread, which stopping leaves open


@pytest.fixture
def camera(broker: Guarded, tmp_path: Path) -> Iterator[Camera]:
    made = Camera(broker, tmp_path)
    made.ready()
    yield made
    made.media.go_on.set()
    made.control.close()


@pytest.fixture
def operator(broker: Guarded) -> Iterator[Operator]:
    made = Operator(broker)
    yield made
    made.close()


def test_each_command_is_carried_out_and_answered(camera: Camera, operator: Operator) -> None:
    pong = operator.ask("camera_ping")
    assert abs(pong.pop("time_seconds") - time.time()) < BOUND_SECONDS
    assert pong == {"status": "ok", "message": "the camera is here"}
    assert operator.ask("camera_photo") == {
        "status": "ok",
        "message": "the photo is on disk",
        "path": "2026/11/21/a photo.jpg",
    }
    assert operator.ask("camera_video", seconds=12.5) == {
        "status": "ok",
        "message": "the clip has begun; its file is there when it has ended",
        "path": "2026/11/21/video.mp4",
    }
    assert camera.media.asked == ["photo", "video 12.5"]
    assert operator.ask("camera_detection", detection="off") == {
        "status": "ok",
        "message": "detection is off",
        "detection": False,
    }
    assert not camera.switch.on
    assert operator.ask("camera_detection", detection="on")["detection"] is True
    assert camera.switch.on
    assert camera.told() == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("camera_ping", {"expires": 1_000_000_000}, "the command has expired: "),
        ("camera_ping", {"expires": 99_999_999_999}, "at most 3600 s are allowed"),
        ("camera_ping", {"expires": None}, "expires must be"),
        ("camera_ping", {"extra": 1}, "'extra' is not an argument"),
        ("camera_video", {}, "seconds must be a number above 0 and up to 60"),
        ("camera_video", {"seconds": 0}, "seconds must be a number above 0 and up to 60"),
        ("camera_video", {"seconds": 61}, "seconds must be a number above 0 and up to 60"),
        ("camera_video", {"seconds": "5"}, "seconds must be a number above 0 and up to 60"),
        ("camera_detection", {"detection": "maybe"}, 'detection must be "on" or "off"'),
        ("camera_photo", {"seconds": 5}, "'seconds' is not an argument"),
    ],
)
def test_a_command_that_is_refused_is_answered(
    camera: Camera, operator: Operator, name: str, content: dict[str, Any], says: str
) -> None:
    found = operator.ask(name, **content)
    assert found["status"] == "refused"
    assert says in found["message"]
    assert camera.media.asked == []
    assert camera.switch.on
    assert camera.told() == []


def test_a_repeated_command_is_carried_out_once(camera: Camera, operator: Operator) -> None:
    first = operator.ask("camera_photo", id="same")
    again = operator.ask("camera_photo", id="same")
    assert (first["status"], again["status"]) == ("ok", "refused")
    assert "already" in again["message"]
    assert camera.media.asked == ["photo"]


def test_a_repeated_command_is_refused_after_a_restart(broker: Guarded, operator: Operator, tmp_path: Path) -> None:
    for status in ("ok", "refused"):
        camera = Camera(broker, tmp_path)
        camera.ready()
        assert operator.ask("camera_photo", id="same")["status"] == status
        camera.control.close()
        assert camera.media.asked == (["photo"] if status == "ok" else [])


def test_the_commands_of_another_process_of_the_device_are_left_to_it(camera: Camera, operator: Operator) -> None:
    for name in ("ping", "led_off", "reboot"):
        operator.send(name)
    assert operator.nothing_more()
    assert camera.told() == []


def test_a_command_without_an_id_is_counted_and_not_answered(camera: Camera, operator: Operator) -> None:
    topic = "sensetig/pi/command/camera_ping"
    for payload in (b"", b"nonsense", b"[1]", b'{"id": "a/b", "expires": 1}', b'{"id": "' + b"x" * 5000 + b'"}'):
        operator.raw(topic, payload)
    operator.raw("sensetig/pi/command/a/b", b"{}")  # a topic without subscribers
    operator.raw(topic, b"x" * 20_000)  # the broker throws it away
    assert operator.nothing_more()
    told = camera.told()
    assert camera.report.errors == 5
    assert all("a command was refused without an answer: " in sentence for sentence in told)


def test_a_retained_command_is_not_carried_out_at_each_start(
    broker: Guarded, operator: Operator, tmp_path: Path
) -> None:
    operator.send("camera_photo", retain=True)
    camera = Camera(broker, tmp_path)
    found = operator.answer()
    assert (found["status"], found["message"]) == (
        "refused",
        "a command must not be retained; publish it without the retain flag",
    )
    assert camera.media.asked == []
    camera.control.close()


def test_a_busy_camera_refuses_commands(camera: Camera, operator: Operator) -> None:
    camera.media.go_on.clear()
    operator.send("camera_photo")
    assert camera.media.begun.acquire(timeout=BOUND_SECONDS)
    for _ in range(4):
        operator.send("camera_photo")
    assert operator.ask("camera_photo") == {
        "status": "refused",
        "message": "4 requests wait for the camera already; try again in a moment",
    }
    assert operator.ask("camera_ping")["status"] == "ok"
    camera.media.go_on.set()
    assert [operator.answer()["status"] for _ in range(5)] == ["ok"] * 5


@pytest.mark.parametrize(
    ("failure", "says", "counted"),
    [
        (MediaError("the disk is full"), "the disk is full", 0),
        (ValueError("a clip has at most 5 s"), "a clip has at most 5 s", 0),
        (RuntimeError("secret"), "the camera's program has failed; its log says how", 1),
    ],
)
def test_a_failure_of_the_camera_is_answered_as_failed(
    camera: Camera, operator: Operator, failure: Exception, says: str, counted: int
) -> None:
    camera.media.failure = failure
    assert operator.ask("camera_video", seconds=6) == {"status": "failed", "message": says}
    camera.media.failure = None
    assert len(camera.told()) == counted


def test_only_allowed_commands_are_carried_out(broker: Guarded, operator: Operator, tmp_path: Path) -> None:
    camera = Camera(broker, tmp_path, command_allow="camera_ping, camera_photo")
    camera.ready()
    assert operator.ask("camera_photo")["status"] == "ok"
    assert operator.ask("camera_detection", detection="off")["message"] == (
        "camera_detection is not allowed here; allowed commands: camera_photo, camera_ping"
    )
    camera.control.close()
    with pytest.raises(Unavailable, match="command_allow names 'reboot'; there are: camera_ping, "):
        Camera(broker, tmp_path, command_allow="camera_ping,reboot")


def test_commands_and_answers_outlive_a_restart_of_the_broker(
    broker: Guarded, camera: Camera, operator: Operator
) -> None:
    assert operator.ask("camera_ping")["status"] == "ok"
    camera.media.go_on.clear()
    operator.send("camera_photo")
    assert camera.media.begun.acquire(timeout=BOUND_SECONDS)
    broker.stop()
    camera.media.go_on.set()
    until(lambda: camera.media.asked == ["photo"])  # answered while the broker is away
    broker.start()
    operator.there()
    answers = [operator.answer()]
    assert (answers[0]["name"], answers[0]["status"]) == ("camera_photo", "ok")
    camera.ready()
    last = operator.send("camera_ping")
    # A message that was unacknowledged when the broker stopped is redelivered, and then refused.
    while (found := operator.answer())["id"] != last:
        assert found["id"] == answers[0]["id"]
    assert found["status"] == "ok"
    assert camera.media.asked == ["photo"]
    assert any("the connection to the broker" in sentence for sentence in camera.told())


def test_a_command_waits_at_the_broker_for_a_camera_that_is_away_unless_it_expires(
    broker: Guarded, operator: Operator, tmp_path: Path
) -> None:
    first = Camera(broker, tmp_path)
    first.ready()
    first.control.close()
    operator.send("camera_photo")
    late = operator.send("camera_video", seconds=5, expires=time.time() + 0.2)
    broker.stop()
    broker.start()
    operator.there()
    second = Camera(broker, tmp_path)
    answers = {found["id"]: found["status"] for found in (operator.answer(), operator.answer())}
    assert answers == {"c1": "ok", late: "refused"}
    assert second.media.asked == ["photo"]
    second.control.close()


# Paho leaves a socket whose handshake has failed to Python, which closes it and warns of it.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_commands_come_over_tls_from_a_broker_whose_certificate_is_trusted(broker: Guarded, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = str(tmp_path / "broker.crt"), str(tmp_path / "broker.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", certificate, "-keyout", key], check=True, capture_output=True, timeout=60)
    broker.stop()
    broker.encrypt(certificate, key)
    broker.start()
    url = f"mqtts://camera@127.0.0.1:{broker.port}"
    stranger = Camera(broker, tmp_path, command_url=url)
    until(lambda: any("cannot be reached" in sentence for sentence in stranger.told()))
    stranger.control.close()
    camera = Camera(broker, tmp_path, command_url=url, command_ca_file=certificate)
    camera.ready()
    operator = Operator(broker, certificate=certificate)
    assert operator.ask("camera_ping")["status"] == "ok"
    operator.close()
    camera.control.close()
    with pytest.raises(Unavailable, match="cannot be used as the broker's certificates"):
        Camera(broker, tmp_path, command_url=url, command_ca_file=key)


@pytest.mark.parametrize(
    ("user", "password", "says"),
    [("camera", "wrong", "refuses the connection"), ("nobody", "look", "refuses the connection")],
)
def test_a_refused_connection_is_reported(
    broker: Guarded, tmp_path: Path, user: str, password: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PASSWORDS, user, password)
    camera = Camera(broker, tmp_path, user)
    until(lambda: any(says in sentence for sentence in camera.told()))
    camera.control.close()


def test_a_user_without_the_right_to_the_commands_gets_none(broker: Guarded, tmp_path: Path) -> None:
    camera = Camera(broker, tmp_path, "stranger", command_device="other")
    until(lambda: bool(camera.told()) or commands_subscribed(camera))
    camera.control.close()
    # Mosquitto grants the subscription, and then sends nothing: so there is no error to be seen, and no command.
    operator = Operator(broker)
    operator.raw("sensetig/other/command/camera_ping", b"nonsense")
    assert camera.told() == []
    operator.close()


def commands_subscribed(camera: Camera) -> bool:
    """Whether the broker has taken the subscription."""
    taking = camera.control._commands
    assert taking is not None
    return taking.subscribed.is_set()


def test_without_a_broker_the_camera_starts_and_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert control.STOP_SECONDS == 2, "Telegraf kills a collector that takes longer than 5 s"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and never says a word
        for port in (1, silent.getsockname()[1]):
            password = tmp_path / "password"
            password.write_text("look", encoding="utf-8")
            password.chmod(0o600)
            errors: list[str] = []
            values = {
                "command_url": f"mqtt://camera@127.0.0.1:{port}",
                "command_password_file": str(password),
                "command_ids_file": str(tmp_path / "ids.json"),
            }
            context = Context(Values(values), ErrorReporter("camera", errors.append), False, "pi", time.time_ns)
            made = Control("door", ScriptedMedia(), DetectionSwitch(), context, time.monotonic)

            def told(made: Control = made, errors: list[str] = errors) -> bool:
                made.on_frame(FRAME, Detection())
                return bool(errors)

            if port == 1:
                until(told)
                assert "the broker 127.0.0.1:1 cannot be reached; trying again" in errors[0]
            begun = time.monotonic()
            made.close()
            # Two seconds plus a margin for a busy machine; without the limit, the client would wait for a minute.
            assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "mqtt://broker.example",
            "the broker broker.example is not on this machine and would be reached without encryption",
        ),
        (
            "mqtt://192.0.2.1:1883",
            "the broker 192.0.2.1 is not on this machine and would be reached without",
        ),
        ("mqtts://me:secret@broker.example", "a file that the setting command_password_file names"),
        ("http://localhost", "the broker's URL must be mqtt://HOST"),
        ("localhost", "the broker's URL must be mqtt://HOST"),
    ],
)
def test_an_unusable_broker_is_refused(url: str, says: str) -> None:
    context = Context(Values({"command_url": url}), ErrorReporter("camera", lambda _: None), False, "pi", time.time_ns)
    with pytest.raises(Unavailable, match=says):
        Control("door", ScriptedMedia(), DetectionSwitch(), context, time.monotonic)


def test_the_access_list_in_the_docs_is_the_one_tried_here() -> None:
    from tests.golden import ROOT

    page = (ROOT / "docs" / "how-to" / "commands.md").read_text(encoding="utf-8")
    assert ACCESS.strip() in page
    assert str(commands.MAX_PAYLOAD_BYTES) in page
