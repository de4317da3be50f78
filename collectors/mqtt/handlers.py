"""The commands of the agent: the arguments, effect and answer of each. See :mod:`collectors.messaging.commands`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from collectors import __version__
from collectors.core.line_protocol import Metric
from collectors.messaging import commands
from collectors.messaging.commands import ArgumentError, Command
from collectors.mqtt.collect import Collected
from collectors.mqtt.reload import NotReloaded, Telegraf
from collectors.sensehat.led import rendering
from collectors.sensehat.led.screens import ScreenError
from collectors.sensehat.led.show import Show

#: Seconds from one column of a text to the next: what an eye can follow, and what a minute has room for.
_SPEED_LEAST, _SPEED_MOST, _SPEED_DEFAULT = 0.03, 0.5, 0.1

#: A text comes so many times at most.
_REPEAT_MOST = 10

#: Ends of the scale of a temperature, and where they lie unless the command says otherwise, in degrees Celsius.
_SCALE_LEAST, _SCALE_MOST, _SCALE_LOW, _SCALE_HIGH = -100.0, 200.0, 0.0, 40.0


class Answer(NamedTuple):
    """What is answered.

    Args:
        then: called once the broker has the answer.
    """

    status: commands.Status
    message: str
    details: Mapping[str, Any] = {}
    then: Callable[[], None] | None = None


class Dependencies(NamedTuple):
    """What the commands act on.

    Args:
        show: the LED matrix.
        clock: wall clock, seconds since 1970.
        collect: runs a collector once, by its name.
        hand_on: takes the points, and comes back once they are handed on.
        check_settings: raises NotReloaded where a setting is wrong.
        telegraf: the Telegraf that runs the agent, or None.
    """

    show: Show
    clock: Callable[[], float]
    collect: Callable[[str], Awaitable[Collected]]
    hand_on: Callable[[Sequence[Metric]], Awaitable[None]]
    check_settings: Callable[[], int]
    telegraf: Callable[[], Telegraf | None]


class Handlers:
    """Carries out commands, in an asyncio loop.

    Args:
        edges: what they act on.
        collectors: names of those that ``collect_now`` may run.
    """

    NAMES = (
        "ping",
        "collect_now",
        "reload_settings",
        "led_text",
        "led_colour",
        "led_picture",
        "led_temperature",
        "led_off",
    )

    def __init__(self, edges: Dependencies, collectors: Sequence[str]) -> None:
        self._edges = edges
        self._collectors = tuple(collectors)
        self._busy = ""

    async def carry_out(self, command: Command) -> Answer:
        """The answer to a command, once it is carried out. Raises for what nobody has thought of."""
        try:
            if command.name.startswith("led_"):
                return self._led(command)
            if command.name == "ping":
                return self._ping(command)
            if self._busy:
                return Answer("refused", f"{self._busy} is being carried out; try again in a moment")
            self._busy = command.name
            try:
                return await (self._collect if command.name == "collect_now" else self._reload)(command)
            finally:
                self._busy = ""
        except ArgumentError as error:
            return Answer("refused", str(error))
        except ScreenError as error:
            return Answer("failed", str(error))

    def _ping(self, command: Command) -> Answer:
        commands.reject_unknown(command.arguments)
        details = {"time_seconds": round(self._edges.clock(), 3), "bundle_version": __version__}
        return Answer("ok", "the agent is here", details)

    async def _collect(self, command: Command) -> Answer:
        commands.reject_unknown(command.arguments, "collectors")
        asked = command.arguments.get("collectors", list(self._collectors))
        names = [asked] if isinstance(asked, str) else asked
        if not isinstance(names, list) or not names or any(name not in self._collectors for name in names):
            known = ", ".join(self._collectors) or "none"
            raise ArgumentError(f"collectors must be a list of names; those that may be run are: {known}")
        points: dict[str, int] = {}
        failures: dict[str, str] = {}
        for name in dict.fromkeys(names):
            found = await self._edges.collect(name)
            if found.failure:
                failures[name] = found.failure
            else:
                await self._edges.hand_on(found.metrics)
                points[name] = len(found.metrics)
        if failures:
            details = {"points": points, "failures": failures}
            return Answer("failed", f"collectors that have failed: {', '.join(failures)}", details)
        return Answer("ok", "the points are handed on", {"points": points})

    async def _reload(self, command: Command) -> Answer:
        commands.reject_unknown(command.arguments)
        telegraf = self._edges.telegraf()
        if telegraf is None:
            return Answer("refused", "the agent is not run by Telegraf, which alone can start the collectors anew")
        try:
            count = self._edges.check_settings()
            await telegraf.check()
        except NotReloaded as error:
            return Answer("refused", str(error))
        message = "the settings are sound; Telegraf is being reloaded, and the agent with it"
        return Answer("ok", message, {"collectors": count}, telegraf.reload)

    def _led(self, command: Command) -> Answer:
        show, given = self._edges.show, command.arguments
        if command.name == "led_text":
            return self._text(command)
        if command.name == "led_colour":
            commands.reject_unknown(given, "colour")
            show.picture(rendering.solid(rendering.colour(given.get("colour"), "colour")))
            return self._shown("the colour is shown")
        if command.name == "led_picture":
            commands.reject_unknown(given, "pixels", "palette")
            show.picture(rendering.picture(given.get("pixels"), given.get("palette")))
            return self._shown("the picture is shown")
        if command.name == "led_temperature":
            commands.reject_unknown(given, "celsius", "low", "high")
            celsius = commands.number(given, "celsius", -273.15, 1000)
            ends = {"low": _SCALE_LOW, "high": _SCALE_HIGH, **given}
            low, high = (commands.number(ends, name, _SCALE_LEAST, _SCALE_MOST) for name in ("low", "high"))
            if low >= high:
                raise ArgumentError("low must be below high")
            show.picture(rendering.bar(celsius, low, high))
            return self._shown("the temperature is shown", low=low, high=high)
        commands.reject_unknown(given)
        show.off()
        return self._shown("the matrix is off")

    def _text(self, command: Command) -> Answer:
        given = {"seconds_per_column": _SPEED_DEFAULT, "repeat": 1, **command.arguments}
        commands.reject_unknown(given, "text", "colour", "background", "seconds_per_column", "repeat")
        text, ink, paper = rendering.arguments_of_text(given)
        speed = commands.number(given, "seconds_per_column", _SPEED_LEAST, _SPEED_MOST)
        repeat = commands.number(given, "repeat", 1, _REPEAT_MOST)
        if repeat != int(repeat):
            raise ArgumentError("repeat must be a whole number")
        frames = (frame for _ in range(int(repeat)) for frame in rendering.text_frames(text, ink, paper))
        self._edges.show.text(frames, speed)
        seconds = round(rendering.frames_of(text) * int(repeat) * speed, 1)
        return self._shown("the text has begun", seconds=seconds)

    def _shown(self, message: str, **details: Any) -> Answer:
        if self._edges.show.simulated:
            return Answer("ok", f"{message}, on no real board", {**details, "simulated": True})
        return Answer("ok", message, details)
