"""The agent as a process at a real broker: lines, status, commands, restarts and kills."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors import __version__
from collectors.core.line_protocol_parser import decode_lines
from tests.bench.measure import environment
from tests.integration import mosquitto
from tests.integration.mqtt_support import BOUND_SECONDS, Peer, agent, settings

LINES = tuple(f"cpu,host=pi usage={number} {1_700_000_000_000_000_000 + number}" for number in range(2000))


def text(lines: tuple[str, ...]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[mosquitto.Mosquitto]:
    (tmp_path / "broker").mkdir()
    with mosquitto.running(tmp_path / "broker") as made:
        yield made


@pytest.fixture
def peer(broker: mosquitto.Mosquitto) -> Iterator[Peer]:
    made = Peer(broker.port)
    yield made
    made.close()


def test_lines_arrive_once_each_and_the_agent_ends_with_its_input(
    broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    with agent(settings(broker.port, tmp_path, lines="true")) as running:
        running.write(text(LINES))
        running.end_input()
        assert sorted(peer.lines(len(LINES))) == sorted(LINES)
        assert running.wait() == 0
        assert running.said == []
    assert peer.status("offline")["bundle_version"] == __version__


def test_lines_may_come_from_a_file(broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(text(LINES[:10]) + b"# a comment\n\nmem used=1 5\ncut off=1")
    with (tmp_path / "lines").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "collectors", "mqtt", "--lines", "true"],
            stdin=file,
            capture_output=True,
            text=True,
            env=environment(SENSETIG_SETTINGS="/dev/null", **settings(broker.port, tmp_path)),
            timeout=240,
            check=False,
        )
    assert sorted(peer.lines(11)) == sorted([*LINES[:10], "mem used=1 5"])
    assert (done.returncode, done.stderr) == (
        0,
        "E! mqtt: lines that are not published: the last line was truncated by the end of standard input\n",
    )


def test_the_status_is_online_with_versions_and_offline_after_a_stop(
    broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    with agent(settings(broker.port, tmp_path, firmware="6.6.51+rpt"), "--execd") as running:
        assert peer.status("online") == {
            "status": "online",
            "bundle_version": __version__,
            "firmware": "6.6.51+rpt",
        }
        late = Peer(broker.port, name="late")
        assert late.await_message(lambda got: got.topic == "sensetig/pi/status").retained
        late.close()
        running.end_input()
        assert running.wait() == 0
        assert peer.status("offline")["firmware"] == "6.6.51+rpt"


def test_a_killed_agent_leaves_its_last_will(broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path) -> None:
    with agent(settings(broker.port, tmp_path), "--execd") as running:
        peer.status("online")
        running.process.kill()
        assert peer.status("offline")["bundle_version"] == __version__


def test_sigterm_sends_the_queue_and_then_the_status(broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path) -> None:
    with agent(settings(broker.port, tmp_path, lines="true", batch_seconds="60", status_seconds="60")) as running:
        peer.status("online")
        running.write(text(LINES[:100]))
        running.process.send_signal(signal.SIGTERM)
        assert sorted(peer.lines(100)) == sorted(LINES[:100])
        peer.status("offline")
        assert running.wait() == 0


def test_a_restart_of_the_broker_loses_no_line_and_takes_commands_again(
    broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    with agent(settings(broker.port, tmp_path, lines="true")) as running:
        peer.status("online")
        running.write(text(LINES[:100]))
        peer.lines(100)
        broker.stop()
        running.write(text(LINES[100:]))
        running.await_said("the connection to the broker")
        broker.start()
        peer.there()
        found: set[str] = set()
        while not found >= set(LINES[100:]):
            found.update(peer.lines(1))
        # At least once: a line of the first hundred that the broker did not acknowledge before its end comes again.
        assert found <= set(LINES)
        assert peer.ask("ping")["status"] == "ok"
        running.end_input()
        assert running.wait() == 0


def test_a_broker_that_is_away_blocks_the_writer_and_bounds_memory(tmp_path: Path) -> None:
    variables = settings(1, tmp_path, lines="true", queue_kilobytes="256")
    with agent(variables) as running:
        written = 0
        stuck = threading.Event()

        def flood() -> None:
            nonlocal written
            try:
                while True:
                    running.write(text(LINES))
                    written += len(LINES)
            except (BrokenPipeError, ValueError):
                stuck.set()

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        running.await_said("cannot be reached")
        before = -1
        while before != written:  # once a second without a line, it is held
            before = written
            time.sleep(1)
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        (peak,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
        assert peak < 80_000, "KiB"
        assert written * len(LINES[0]) < 1_000_000
        running.process.send_signal(signal.SIGTERM)
        assert running.wait() == 1
        assert any("has not acknowledged, and that are lost: " in line for line in running.said)
        assert stuck.wait(BOUND_SECONDS)


def test_lines_without_subscribers_are_kept_until_there_is_one(broker: mosquitto.Mosquitto, tmp_path: Path) -> None:
    with agent(settings(broker.port, tmp_path, lines="true", status_seconds="60")) as running:
        running.write(text(LINES[:3]))
        running.await_said("there are no subscribers for sensetig/pi/telemetry/cpu")
        peer = Peer(broker.port)
        assert peer.lines(3) == list(LINES[:3])
        peer.close()
        running.end_input()
        assert running.wait() == 0


def test_messages_of_other_topics_are_printed_and_rejected_ones_counted(
    broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    with agent(settings(broker.port, tmp_path, subscribe="sensetig/+/telemetry/#"), "--execd") as running:
        peer.status("online")
        assert peer.ask("ping")["status"] == "ok"  # it is subscribed
        peer.publish("sensetig/shed/telemetry/weather", b"weather value=5 1700000000000000000\n")
        line = running.await_line("weather")
        (metric,) = decode_lines(line)
        assert (metric.series.tags["device"], metric.fields["value"]) == ("shed", 5.0)
        peer.publish("sensetig/shed/telemetry/weather", b'{"value": 5')
        running.await_said("rejected on sensetig/shed/telemetry/weather: ")
        while "messages_refused=1i" not in running.await_line("mqtt"):
            continue
        running.end_input()
        assert running.wait() == 0


def test_a_retained_message_is_printed_once_and_only_with_a_time(
    broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    topic = "sensetig/shed/telemetry"
    peer.publish(f"{topic}/weather", b"weather value=7 1700000000000000000\n", retain=True)
    peer.publish(f"{topic}/air", b'{"value": 8}', retain=True)
    peer.publish("sensetig/shed/status", b"online", retain=True)
    variables = settings(broker.port, tmp_path, subscribe="sensetig/shed/#")
    with agent(variables, "--execd") as running:
        running.await_said("has no time, and its age is unknown")
        printed: set[str] = set()
        while not printed >= {"weather", "device_status"}:
            printed.add(running.printed.get(timeout=BOUND_SECONDS).partition(",")[0])
        assert "air" not in printed
        running.end_input()
        assert running.wait() == 0
    peer.status("offline")
    with agent(variables, "--execd") as running:
        peer.status("online")
        assert peer.ask("ping")["status"] == "ok"  # it is subscribed again
        peer.publish(f"{topic}/last", b"last value=9 1700000000000000000\n")
        while not (line := running.printed.get(timeout=BOUND_SECONDS)).startswith("last"):
            assert not line.startswith(("weather", "air", "device_status")), line


def test_a_message_that_was_not_written_is_redelivered_after_a_kill(
    broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    variables = settings(broker.port, tmp_path, subscribe="sensetig/shed/telemetry/#", status_seconds="60")
    with agent(variables, "--execd") as running:
        peer.status("online")
        assert peer.ask("ping")["status"] == "ok"
        running.process.send_signal(signal.SIGSTOP)
        peer.publish("sensetig/shed/telemetry/weather", b"weather value=6 1700000000000000000\n")
        running.process.kill()
    with agent(variables, "--execd") as running:
        assert "value=6" in running.await_line("weather")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--lines", "true", "--subscribe", "a/#"), "lines and subscribe are both set"),
        (("--command-allow", "reboot"), "command_allow names 'reboot'; there are: ping, "),
        (("--collect-allow", "nothing"), "collect_allow names 'nothing'; there are: "),
        (("--led-rotation", "45"), "led_rotation is 45; it must be 0, 90, 180 or 270"),
        (("--led-night", "22-7"), "led_night is '22-7'; it must be hours such as 22:00-07:00"),
        (("--url", "mqtt://a:b@localhost"), "the broker's URL has a password in it"),
        (("--url", "mqtt://broker.example"), "use mqtts://"),
        (("--certificate", "/x.pem"), "certificate and key belong together"),
    ],
)
def test_an_invalid_setting_is_reported_at_the_start(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    with agent(settings(1, tmp_path), *arguments) as running:
        assert running.wait() == 2
        assert len(running.said) == 1
        assert says in running.said[0]


def test_an_invalid_setting_under_telegraf_is_reported_and_the_agent_stays(tmp_path: Path) -> None:
    with agent(settings(1, tmp_path), "--lines", "true", "--execd") as running:
        running.write(b"\n")
        line = running.await_line("collector")
        assert "up=0" in line
        assert "lines is on, and with --execd standard input has no lines" in line
        assert running.process.poll() is None


def test_lines_without_a_broker_are_reported(tmp_path: Path) -> None:
    with agent({"SENSETIG_MQTT_COMMAND_IDS_FILE": str(tmp_path / "ids")}, "--lines", "true") as running:
        assert running.wait() == 2
        assert "there is no broker to publish to; name one in the setting url" in running.said[0]
