"""The commands of the agent; see :mod:`collectors.messaging.commands` for the protocol."""

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

#: Seconds per column of a text.
_MIN_SPEED, _MAX_SPEED, _DEFAULT_SPEED = 0.03, 0.5, 0.1

#: Maximum repetitions of a text.
_MAX_REPEAT = 10

#: Limits and defaults for both ends of a temperature scale, in degrees Celsius.
_MIN_SCALE, _MAX_SCALE, _DEFAULT_LOW, _DEFAULT_HIGH = -100.0, 200.0, 0.0, 40.0


class Answer(NamedTuple):
    """The response to a command.

    Args:
        then: called once the broker has acknowledged the response.
    """

    status: commands.Status
    message: str
    details: Mapping[str, Any] = {}
    then: Callable[[], None] | None = None


class Dependencies(NamedTuple):
    """The dependencies of the commands.

    Args:
        show: the LED matrix.
        clock: wall clock, seconds since 1970.
        collect: runs a collector once, by its name.
        emit: prints or publishes points.
        check_settings: raises NotReloaded if a setting is invalid.
        telegraf: the Telegraf that runs the agent, or None.
    """

    show: Show
    clock: Callable[[], float]
    collect: Callable[[str], Awaitable[Collected]]
    emit: Callable[[Sequence[Metric]], Awaitable[None]]
    check_settings: Callable[[], int]
    telegraf: Callable[[], Telegraf | None]


class Handlers:
    """Executes commands, in an asyncio loop.

    Args:
        dependencies: the dependencies of the commands.
        collectors: names of the collectors that ``collect_now`` may run.
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

    def __init__(self, dependencies: Dependencies, collectors: Sequence[str]) -> None:
        self._dependencies = dependencies
        self._collectors = tuple(collectors)
        self._busy = ""

    async def carry_out(self, command: Command) -> Answer:
        """Execute a command; return the response. Raises unexpected exceptions."""
        try:
            if command.name.startswith("led_"):
                return self._led(command)
            if command.name == "ping":
                return self._ping(command)
            if self._busy:
                return Answer("refused", f"{self._busy} is running; try again in a moment")
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
        details = {"time_seconds": round(self._dependencies.clock(), 3), "bundle_version": __version__}
        return Answer("ok", "the agent is here", details)

    async def _collect(self, command: Command) -> Answer:
        commands.reject_unknown(command.arguments, "collectors")
        asked = command.arguments.get("collectors", list(self._collectors))
        names = [asked] if isinstance(asked, str) else asked
        if not isinstance(names, list) or not names or any(name not in self._collectors for name in names):
            known = ", ".join(self._collectors) or "none"
            raise ArgumentError(f"collectors must be a list of names; allowed are: {known}")
        points: dict[str, int] = {}
        failures: dict[str, str] = {}
        for name in dict.fromkeys(names):
            found = await self._dependencies.collect(name)
            if found.failure:
                failures[name] = found.failure
            else:
                await self._dependencies.emit(found.metrics)
                points[name] = len(found.metrics)
        if failures:
            details = {"points": points, "failures": failures}
            return Answer("failed", f"collectors that failed: {', '.join(failures)}", details)
        return Answer("ok", "the points are collected", {"points": points})

    async def _reload(self, command: Command) -> Answer:
        commands.reject_unknown(command.arguments)
        telegraf = self._dependencies.telegraf()
        if telegraf is None:
            return Answer("refused", "the agent is not run by Telegraf, which has to restart the collectors")
        try:
            count = self._dependencies.check_settings()
            await telegraf.check()
        except NotReloaded as error:
            return Answer("refused", str(error))
        message = "the settings are valid; Telegraf reloads, and restarts the agent"
        return Answer("ok", message, {"collectors": count}, telegraf.reload)

    def _led(self, command: Command) -> Answer:
        show, given = self._dependencies.show, command.arguments
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
            ends = {"low": _DEFAULT_LOW, "high": _DEFAULT_HIGH, **given}
            low, high = (commands.number(ends, name, _MIN_SCALE, _MAX_SCALE) for name in ("low", "high"))
            if low >= high:
                raise ArgumentError("low must be below high")
            show.picture(rendering.bar(celsius, low, high))
            return self._shown("the temperature is shown", low=low, high=high)
        commands.reject_unknown(given)
        show.off()
        return self._shown("the matrix is off")

    def _text(self, command: Command) -> Answer:
        given = {"seconds_per_column": _DEFAULT_SPEED, "repeat": 1, **command.arguments}
        commands.reject_unknown(given, "text", "colour", "background", "seconds_per_column", "repeat")
        text, ink, paper = rendering.arguments_of_text(given)
        speed = commands.number(given, "seconds_per_column", _MIN_SPEED, _MAX_SPEED)
        repeat = commands.number(given, "repeat", 1, _MAX_REPEAT)
        if repeat != int(repeat):
            raise ArgumentError("repeat must be a whole number")
        frames = (frame for _ in range(int(repeat)) for frame in rendering.text_frames(text, ink, paper))
        self._dependencies.show.text(frames, speed)
        seconds = round(rendering.frames_of(text) * int(repeat) * speed, 1)
        return self._shown("the text is shown", seconds=seconds)

    def _shown(self, message: str, **details: Any) -> Answer:
        if self._dependencies.show.simulated:
            return Answer("ok", f"{message}, without a board", {**details, "simulated": True})
        return Answer("ok", message, details)
