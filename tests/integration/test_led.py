"""The LED matrix on the real sense-emu library's screen, by commands through a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.sensehat.led import screens
from collectors.sensehat.led.health import Health
from collectors.sensehat.led.rendering import BLACK, OFF, PIXELS, Frame, bar, rotated, solid
from tests.integration import mosquitto
from tests.integration.mqtt_support import BOUND_SECONDS, Peer, agent, settings
from tests.integration.test_mqtt_agent import broker as broker
from tests.integration.test_mqtt_agent import peer as peer
from tests.integration.test_sense_emu import Emulator, needs_emulator
from tests.integration.test_sense_emu import emulator as emulator

pytestmark = [needs_emulator, pytest.mark.usefixtures("emulator_alone")]


class Window:
    """The emulator's own reading of its screen."""

    def __init__(self) -> None:
        from sense_emu.screen import ScreenClient

        self._client: Any = ScreenClient()

    def frame(self) -> list[int]:
        """The 64 values of 16 bits that are shown now."""
        return [int(value) for row in self._client.array for value in row]

    def gamma(self) -> list[int]:
        return [int(value) for value in self._client._gamma]

    def until(self, wanted: Frame) -> None:
        """Wait until this is shown."""
        packed = [(red >> 3) << 11 | (green >> 2) << 5 | blue >> 3 for red, green, blue in wanted]
        end = time.monotonic() + BOUND_SECONDS
        while self.frame() != packed:
            assert time.monotonic() < end, self.frame()
            time.sleep(0.005)

    def close(self) -> None:
        self._client._screen = self._client._gamma = None
        self._client.close()


@pytest.fixture
def window(emulator: Emulator) -> Iterator[Window]:
    del emulator
    made = Window()
    yield made
    made.close()


RED: Frame = solid((255, 0, 0))


def test_each_command_reaches_the_emulated_matrix(
    window: Window, broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    with agent(settings(broker.port, tmp_path, led_backend="emulator"), "--execd") as running:
        peer.status("online")
        assert peer.ask("led_colour", colour="red") == {
            "status": "ok",
            "message": "the colour is shown, without a board",
            "simulated": True,
        }
        window.until(RED)
        corner = ["r......."] + ["........"] * 7
        peer.ask("led_picture", pixels=corner, palette={"r": "red", ".": "black"})
        window.until((RED[0], *[BLACK] * (PIXELS - 1)))
        assert peer.ask("led_temperature", celsius=30, low=10, high=50)["low"] == 10
        window.until(bar(30, 10, 50))
        # A long text does not delay the next command, which replaces it.
        begun = peer.ask("led_text", text="W" * 64, seconds_per_column=0.1)
        assert begun["seconds"] > 35
        assert peer.ask("ping")["status"] == "ok"
        assert peer.ask("led_off")["status"] == "ok"
        window.until(OFF)
        peer.ask("led_colour", colour="red")
        window.until(RED)
        running.end_input()
        assert running.wait() == 0
        window.until(OFF)
        assert running.said == []


def test_rotation_and_low_light_reach_the_matrix(
    window: Window, broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    from sense_emu.screen import GAMMA_DEFAULT, GAMMA_LOW

    corner = (RED[0], *[BLACK] * (PIXELS - 1))
    for degrees, low_light, gamma in (("90", "true", GAMMA_LOW), ("270", "false", GAMMA_DEFAULT)):
        variables = settings(
            broker.port, tmp_path, led_backend="emulator", led_rotation=degrees, led_low_light=low_light
        )
        with agent(variables, "--execd"):
            peer.status("online")
            peer.ask("led_picture", pixels=[[255, 0, 0]] + ["black"] * 63)
            window.until(rotated(corner, int(degrees)))
            assert window.gamma() == gamma


def test_the_status_shows_whether_the_broker_is_away(
    window: Window, broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path
) -> None:
    with agent(settings(broker.port, tmp_path, led_backend="emulator", led_status="true"), "--execd") as running:
        window.until((*OFF[1:], Health.GOOD.pixel))
        peer.ask("led_colour", colour="red")
        window.until((*RED[1:], Health.GOOD.pixel))
        broker.stop()
        window.until((*RED[1:], Health.TROUBLE.pixel))
        running.end_input()
        running.wait()
        window.until(OFF)


def test_without_an_emulator_only_the_command_fails(broker: mosquitto.Mosquitto, peer: Peer, tmp_path: Path) -> None:
    from sense_emu.lock import EmulatorLock

    if EmulatorLock("tests").wait(0):
        pytest.skip("a Sense HAT emulator is running")
    with agent(settings(broker.port, tmp_path, led_backend="emulator", led_status="true"), "--execd") as running:
        peer.status("online")
        assert peer.ask("led_off") == {
            "status": "failed",
            "message": "no Sense HAT emulator is running; start sense_emu_gui, and try again",
        }
        assert peer.ask("ping")["status"] == "ok"
        running.await_said("the status is not shown: no Sense HAT emulator is running")


def test_the_emulator_s_file_keeps_its_form(window: Window) -> None:
    screen = screens.open_screen("emulator", low_light=False)
    screen.show(tuple((8 * (index % 32), 0, 0) for index in range(PIXELS)))
    screen.close()
    assert window.frame() == [index % 32 << 11 for index in range(PIXELS)]
