"""The agent's commands at a broker with the access list that is shipped: carried out once, refused, and kept secret."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors import __version__
from tests.integration import mosquitto
from tests.integration.mqtt_support import BOUND_SECONDS, AgentProcess, Got, Peer, agent, settings

PASSWORDS = {"pi": "device-of-its-own", "operator": "ask-nicely", "telegraf": "only-reads", "shed": "another"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[mosquitto.Mosquitto]:
    (tmp_path / "broker").mkdir()
    with mosquitto.shipped(tmp_path / "broker", PASSWORDS) as made:
        yield made


@pytest.fixture
def operator(broker: mosquitto.Mosquitto) -> Iterator[Peer]:
    made = Peer(
        broker.port,
        ("sensetig/+/result/+", "sensetig/+/status"),
        "operator",
        user="operator",
        password=PASSWORDS["operator"],
    )
    yield made
    made.close()


def of_user(
    broker: mosquitto.Mosquitto, folder: Path, user: str = "pi", password: str = "", **more: str
) -> dict[str, str]:
    """The environment of an agent that signs in."""
    file = folder / f"password-{user}"
    file.write_text((password or PASSWORDS[user]) + "\n", encoding="utf-8")
    file.chmod(0o600)
    url = f"mqtt://{user}@127.0.0.1:{broker.port}"
    return settings(broker.port, folder, **{"url": url, "password_file": str(file), **more})


@pytest.fixture
def running(broker: mosquitto.Mosquitto, operator: Peer, tmp_path: Path) -> Iterator[AgentProcess]:
    with agent(of_user(broker, tmp_path), "--execd") as made:
        operator.status("online")
        yield made


def test_ping_answers_with_the_clock_and_version_of_the_device(running: AgentProcess, operator: Peer) -> None:
    answer = operator.ask("ping")
    assert abs(answer.pop("time_seconds") - time.time()) < BOUND_SECONDS
    assert answer == {"status": "ok", "message": "the agent is here", "bundle_version": __version__}
    assert running.said == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("ping", {"expires": 1_000_000_000}, "the command has expired: "),
        ("ping", {"expires": 99_999_999_999}, "at most 3600 s are allowed"),
        ("ping", {"expires": None}, "expires must be"),
        ("ping", {"extra": 1}, "'extra' is not an argument"),
        ("collect_now", {"collectors": ["camera"]}, "allowed are: pi, sensehat, system"),
        ("collect_now", {"collectors": []}, "collectors must be a list of names"),
        ("collect_now", {"collectors": [["system"]]}, "collectors must be a list of names"),
        ("collect_now", {"collectors": "../system"}, "collectors must be a list of names"),
        ("reload_settings", {}, "the agent is not run by Telegraf"),
        ("reload_settings", {"file": "/etc/passwd"}, "'file' is not an argument"),
        ("led_text", {}, "text must have 1 to 64 characters"),
        ("led_text", {"text": "x" * 65}, "text must have 1 to 64 characters"),
        ("led_text", {"text": "x", "seconds_per_column": 0}, "seconds_per_column must be a number from 0.03 to 0.5"),
        ("led_text", {"text": "x", "repeat": 1.5}, "repeat must be a whole number"),
        ("led_text", {"text": "x", "repeat": 11}, "repeat must be a number from 1 to 10"),
        ("led_colour", {}, "colour must be a colour"),
        ("led_picture", {"pixels": []}, "a list of 64 colours"),
        ("led_temperature", {}, "celsius must be a number"),
        ("led_temperature", {"celsius": 20, "low": 30, "high": 30}, "low must be below high"),
        ("led_off", {"colour": "red"}, "'colour' is not an argument"),
    ],
)
def test_a_refused_command_is_answered_with_the_reason(
    running: AgentProcess, operator: Peer, name: str, content: dict[str, Any], says: str
) -> None:
    found = operator.ask(name, **content)
    assert (found["status"], says in found["message"]) == ("refused", True), found
    assert running.said == []


def test_a_command_is_carried_out_once_also_after_a_restart(
    broker: mosquitto.Mosquitto, operator: Peer, tmp_path: Path
) -> None:
    for ending in ("kill", "stop"):
        with agent(of_user(broker, tmp_path), "--execd") as running:
            operator.status("online")
            assert operator.ask("ping", id="same")["status"] == ("ok" if ending == "kill" else "refused")
            if ending == "kill":
                running.process.kill()
                operator.status("offline")
    assert list(json.loads((tmp_path / "ids.json").read_text())["ids"]) == ["same"]


def test_commands_of_other_processes_are_left_to_them_and_the_sender_sees_no_subscribers(
    running: AgentProcess, operator: Peer
) -> None:
    for name in ("camera_photo", "camera_ping", "reboot"):
        body = json.dumps({"id": name, "expires": time.time() + 600}).encode()
        assert str(operator.publish(f"sensetig/pi/command/{name}", body)) == "No matching subscribers"
    assert operator.ask("ping")["status"] == "ok"
    assert running.said == []


def test_a_command_for_another_device_is_ignored(running: AgentProcess, operator: Peer) -> None:
    operator.send("ping", device="shed", id="foreign")
    operator.send("ping", id="own")
    answer = operator.await_message(lambda got: "/result/" in got.topic)
    assert answer.content["id"] == "own"
    assert running.said == []


def test_a_command_without_an_answer_is_counted(running: AgentProcess, operator: Peer) -> None:
    topic = "sensetig/pi/command/ping"
    for payload in (b"", b"nonsense", b"[1]", b'{"id": "a/b"}', b'{"id": "' + b"x" * 5000 + b'"}'):
        operator.publish(topic, payload)
    operator.publish(topic, b"x" * 600_000)  # the broker throws it away
    assert operator.ask("ping")["status"] == "ok"
    refused = 0
    while refused < 5:
        fields = running.await_line("mqtt").split(" ")[1]
        refused += int(fields.split("commands_refused=")[1].split("i")[0])
    assert refused == 5
    assert all("a command was refused without an answer: " in line for line in running.said)


def test_a_retained_command_is_not_carried_out_at_each_start(
    broker: mosquitto.Mosquitto, operator: Peer, tmp_path: Path
) -> None:
    operator.send("ping", retain=True, id="kept")
    with agent(of_user(broker, tmp_path), "--execd"):
        answer = operator.await_message(lambda got: got.topic == "sensetig/pi/result/kept").content
    assert (answer["status"], answer["message"]) == (
        "refused",
        "a command must not be retained; publish it without the retain flag",
    )


def test_a_command_waits_at_the_broker_for_an_agent_that_is_away(
    broker: mosquitto.Mosquitto, operator: Peer, tmp_path: Path
) -> None:
    with agent(of_user(broker, tmp_path), "--execd") as running:
        operator.status("online")
        running.end_input()
        assert running.wait() == 0
    operator.send("ping", id="waits")
    with agent(of_user(broker, tmp_path), "--execd"):
        assert operator.await_message(lambda got: got.topic.endswith("/result/waits")).content["status"] == "ok"


def test_a_restart_of_the_broker_leaves_the_agent_taking_commands(
    running: AgentProcess, broker: mosquitto.Mosquitto, operator: Peer
) -> None:
    for end in (broker.stop, broker.kill):
        end()
        running.await_said("the connection to the broker")
        broker.start()
        operator.there()
        operator.status("online")
        assert operator.ask("ping")["status"] == "ok"


@pytest.mark.parametrize(("user", "password"), [("pi", "wrong"), ("nobody", "wrong")])
def test_a_refused_connection_is_reported_without_the_password(
    broker: mosquitto.Mosquitto, tmp_path: Path, user: str, password: str
) -> None:
    with agent(of_user(broker, tmp_path, user, password), "--execd") as running:
        running.await_said("refuses the connection: Not authorized")
        assert not running.has_said(password)
        command = Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
        assert password.encode() not in command
        running.end_input()
        assert running.wait() == 0


def test_lines_of_a_device_that_the_access_list_does_not_know_are_refused_and_counted(
    broker: mosquitto.Mosquitto, tmp_path: Path
) -> None:
    with agent(of_user(broker, tmp_path, "pi", device="shed", lines="true")) as running:
        running.write(b"cpu,host=shed usage=1 5\n" * 3)
        running.await_said("the broker refuses lines on sensetig/shed/telemetry/cpu: Not authorized")
        running.await_said("the broker refuses the status on sensetig/shed/status: Not authorized")
        running.end_input()
        assert running.wait() == 0


def test_lines_arrive_where_the_hub_reads_them(broker: mosquitto.Mosquitto, tmp_path: Path) -> None:
    hub = Peer(broker.port, ("sensetig/+/telemetry/#",), "hub", user="telegraf", password=PASSWORDS["telegraf"])
    with agent(of_user(broker, tmp_path, lines="true")) as running:
        running.write(b"cpu,host=pi usage=1 5\n")
        assert hub.lines(1) == ["cpu,host=pi usage=1 5"]
        running.end_input()
        assert running.wait() == 0
    hub.close()


def test_a_collector_s_points_are_printed_and_then_answered(running: AgentProcess, operator: Peer) -> None:
    answer = operator.ask("collect_now", collectors=["system", "pi"])
    assert (answer["status"], answer["message"]) == ("ok", "the points are collected")
    assert answer["points"]["system"] > 5
    assert running.await_line("mem")
    failed = operator.ask("collect_now", collectors="sensehat")
    assert failed["status"] == "failed"
    assert failed["message"] == "collectors that failed: sensehat"
    assert failed["failures"]["sensehat"].startswith("sensehat: there is no Sense HAT on this machine")


def test_collected_points_are_published_with_the_lines(
    broker: mosquitto.Mosquitto, operator: Peer, tmp_path: Path
) -> None:
    hub = Peer(broker.port, ("sensetig/+/telemetry/#",), "hub", user="telegraf", password=PASSWORDS["telegraf"])
    with agent(of_user(broker, tmp_path, lines="true")) as running:
        operator.status("online")
        assert operator.ask("collect_now", collectors="system")["status"] == "ok"

        def memory(got: Got) -> bool:
            return got.topic == "sensetig/pi/telemetry/mem"

        assert hub.await_message(memory).payload.startswith(b"mem")
        running.end_input()
        assert running.wait() == 0
    hub.close()


# --- TLS ---


def _certificates(folder: Path) -> None:
    """A certificate authority of the test's own, and a broker and a device that it knows."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def run(*command: str) -> None:
        subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=120, cwd=folder)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run(*new, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("broker", "device"):
        run(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2")
        run(*signed, "-extfile", "names", "-out", f"{name}.pem")
        (folder / f"{name}.key").chmod(0o600)


def test_a_broker_may_ask_for_a_certificate_over_tls(tmp_path: Path) -> None:
    _certificates(tmp_path)
    (tmp_path / "broker").mkdir()
    encrypted = (
        "allow_anonymous true\nrequire_certificate true\n"
        f"cafile {tmp_path}/ca.pem\ncertfile {tmp_path}/broker.pem\nkeyfile {tmp_path}/broker.key\n"
    )
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no mosquitto on this machine: install the package mosquitto to try TLS on a real broker")
    broker = mosquitto.Mosquitto(program, tmp_path / "broker", encrypted)
    broker.start()
    try:
        shown = {"certificate": str(tmp_path / "device.pem"), "key": str(tmp_path / "device.key")}
        url, ca = f"mqtts://127.0.0.1:{broker.port}", str(tmp_path / "ca.pem")
        peer = Peer(broker.port, ca=ca, certificate=shown["certificate"], key=shown["key"])
        with agent(settings(broker.port, tmp_path, url=url, ca_file=ca, **shown), "--execd"):
            peer.status("online")
            assert peer.ask("ping")["status"] == "ok"
        peer.close()
        for more in ({"ca_file": ca}, shown):  # without a certificate, and without trust in the broker's
            with agent(settings(broker.port, tmp_path, url=url, **more), "--execd") as running:
                running.await_said("the broker 127.0.0.1")
                running.end_input()
                assert running.wait() == 0
        (tmp_path / "device.key").chmod(0o644)
        with agent(settings(broker.port, tmp_path, url=url, ca_file=ca, **shown)) as running:
            assert running.wait() == 2
            assert "may be read by others (mode 0644)" in running.said[0]
        (tmp_path / "device.key").chmod(0o600)
        with agent(settings(broker.port, tmp_path, url=url, ca_file=ca, **{**shown, "certificate": ca})) as running:
            assert running.wait() == 2
            assert "cannot be used as certificate and key" in running.said[0]
    finally:
        broker.stop()
