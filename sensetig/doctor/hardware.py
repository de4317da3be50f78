"""Checks of the board: bus, Sense HAT, camera, power, temperature, card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from collectors.pi import readings
from sensetig import policy
from sensetig.doctor import machine
from sensetig.doctor.findings import INSTALL, CannotCheck, Check, Finding, act, good, hand, look, run
from sensetig.doctor.patient import Patient

_POWER = hand("use the power supply of the Pi's maker and a short cable, and take hungry USB devices off")
_COOLING = hand("let air to the board, or add a fan or a heat sink")
_CARD = hand("copy the data off (sudo sensetig backup on a hub), and replace the card")


def _board(patient: Patient) -> None:
    """Raise CannotCheck on machines other than a Raspberry Pi."""
    model = machine.text(patient.top / "proc/device-tree/model") or ""
    if "Raspberry Pi" not in model:
        raise CannotCheck("this machine is no Raspberry Pi")


# --- the header -----------------------------------------------------------------------------------------


class Header(NamedTuple):
    """The bus and the Sense HAT: whether they exist, and whether Telegraf collects from the board."""

    i2c: bool
    hat: bool
    collected: bool


def _read_header(patient: Patient) -> Header:
    _board(patient)
    return Header(
        machine.has_i2c(patient.top),
        machine.has_hat(patient.top),
        (patient.top / "etc/telegraf/telegraf.d/sensehat.conf").exists() and not _has_other_source(patient.top),
    )


def _has_other_source(top: Path) -> bool:
    """Whether the settings select a source other than the board."""
    import tomllib

    try:
        document = tomllib.loads(machine.text(top / "etc/sensetig/sensetig.toml") or "")
    except tomllib.TOMLDecodeError:
        return False
    backend = document.get("sensehat", {}).get("backend", "auto") if isinstance(document.get("sensehat"), dict) else ""
    return backend not in ("auto", "hat", "")


def judge_i2c(facts: Header) -> list[Finding]:
    """Whether the bus of the header is enabled."""
    if facts.i2c:
        return good("the bus of the header is on")
    cure = run("raspi-config", "nonint", "do_i2c", "0")
    if facts.hat or facts.collected:
        return act("the bus is off, so the Sense HAT cannot be read; a restart of the Pi follows the cure", cure)
    return good("the bus is off, and nothing needs it")


def judge_hat(facts: Header) -> list[Finding]:
    """Whether the board is present, and read."""
    if facts.hat and facts.collected:
        return good("found, and read")
    if facts.hat:
        return look("found, and not read", INSTALL)
    if facts.collected:
        return act(
            "Telegraf is to read a Sense HAT, and the kernel finds none",
            hand("switch the Pi off, press the board firmly onto all 40 pins, and switch it on"),
        )
    return good("none is there, and none is expected")


# --- the camera -----------------------------------------------------------------------------------------


class Camera(NamedTuple):
    """Whether the kernel has detected a camera, and whether its service is installed."""

    found: bool
    used: bool


def _read_camera(patient: Patient) -> Camera:
    return Camera(machine.has_camera(patient.top), patient.has_unit("sensetig-camera.service"))


def judge_camera(facts: Camera) -> list[Finding]:
    """Whether the camera is present, and used."""
    if facts.used and not facts.found:
        return act(
            "its service is installed, and the kernel finds no camera",
            hand("switch the Pi off, press the ribbon cable into both sockets or the plug into USB, and switch it on"),
        )
    if facts.found and not facts.used:
        return look("found, and not used", hand("set camera_enabled: true in config.yml, and run sudo ./install again"))
    return good("found, and used" if facts.used else "none is there, and none is expected")


# --- power and heat -------------------------------------------------------------------------------------


class Power(NamedTuple):
    """The limits that apply now and that have applied since boot, by their names in :mod:`collectors.pi.readings`."""

    limits: dict[str, bool]
    celsius: float | None = None


def _read_power(patient: Patient) -> Power:
    _board(patient)
    limits: dict[str, bool] = {}
    answer = patient.run(("vcgencmd", "get_throttled"))
    if answer.status == 0:
        limits.update(_parsed(_ever, answer.output))
    for folder in sorted((patient.top / "sys/class/hwmon").glob("*")):
        if (machine.text(folder / "name") or "").strip() == "rpi_volt":
            limits.update(_parsed(_now, machine.text(folder / "device/../get_throttled") or ""))
            limits.update(_parsed(_alarm, machine.text(folder / "in0_lcrit_alarm") or ""))
    if not limits:
        raise CannotCheck("neither the kernel nor vcgencmd reports the state of the power")
    return Power(limits, _celsius(patient.top))


def _ever(answer: str) -> dict[str, bool]:
    bits = readings.throttled_answer(answer)
    return {**readings.throttled_now(bits), **readings.throttled_since_boot(bits)}


def _now(text: str) -> dict[str, bool]:
    return readings.throttled_now(int(text, 16))


def _alarm(text: str) -> dict[str, bool]:
    return {"under_voltage": readings.flag(text)}


def _parsed(parse: Callable[[str], dict[str, bool]], text: str) -> dict[str, bool]:
    """The limits in a text; none if it has another form."""
    try:
        return parse(text)
    except ValueError:
        return {}


def _celsius(top: Path) -> float | None:
    text = machine.text(top / "sys/class/thermal/thermal_zone0/temp")
    try:
        return None if text is None else readings.whole_number(text) / 1000
    except ValueError:
        return None


def judge_power(facts: Power) -> list[Finding]:
    """Whether the power supply is sufficient."""
    if facts.limits.get("under_voltage"):
        return act("the voltage is too low now: the Pi may stop, and its card be damaged", _POWER)
    if facts.limits.get("under_voltage_since_boot"):
        return look("the voltage was too low since the Pi has started", _POWER)
    return good("the voltage is sufficient")


def judge_heat(facts: Power) -> list[Finding]:
    """Whether the processor runs at full speed."""
    at = "" if facts.celsius is None else f" at {facts.celsius:.0f} °C"
    if facts.limits.get("throttled") or facts.limits.get("soft_temperature_limit"):
        return act(f"the processor is slowed down{at}", _COOLING)
    level = policy.GOOD if facts.celsius is None else policy.PROCESSOR_CELSIUS.level(facts.celsius)
    if level != policy.GOOD:
        return [Finding(level, f"the processor is hot: {facts.celsius:.0f} °C", _COOLING)]
    if facts.limits.get("throttled_since_boot"):
        return look("the processor was slowed down since the Pi has started", _COOLING)
    return good(f"the processor runs at its speed{at}")


# --- the card -------------------------------------------------------------------------------------------


class Card(NamedTuple):
    """The storage.

    Args:
        read_only: whether the root file system cannot be written.
        errors: errors that ext4 has counted, by device.
        life_used: used percentage of an eMMC's life, by device.
        pre_eol: an eMMC's end-of-life warning, by device.
    """

    read_only: bool
    errors: dict[str, int]
    life_used: dict[str, float]
    pre_eol: dict[str, int]


def _read_card(patient: Patient) -> Card:
    sys = patient.top / "sys"
    errors = {folder.name: _number(folder / "errors_count") for folder in sorted((sys / "fs/ext4").glob("*"))}
    life: dict[str, float] = {}
    eol: dict[str, int] = {}
    for folder in sorted((sys / "block").glob("mmcblk*[0-9]")):
        try:
            used = readings.life_used_percent(machine.text(folder / "device/life_time") or "")
            warned = readings.pre_eol(machine.text(folder / "device/pre_eol_info") or "")
        except ValueError:
            continue  # a card without these registers, such as an SD card
        if used is not None:
            life[folder.name] = used
        if warned is not None:
            eol[folder.name] = warned
    root = [line.split() for line in (machine.text(patient.top / "proc/self/mounts") or "").splitlines()]
    options = [fields[3].split(",") for fields in root if len(fields) > 3 and fields[1] == "/"]
    return Card(bool(options) and "ro" in options[-1], {k: v for k, v in errors.items() if v}, life, eol)


def _number(path: Path) -> int:
    text = (machine.text(path) or "").strip()
    return int(text) if text.isdecimal() else 0


def judge_card(facts: Card) -> list[Finding]:
    """Whether the storage is healthy."""
    if facts.read_only:
        return act("the root file system cannot be written any more, which is how a card ends", _CARD)
    found = [
        Finding(policy.ACT, f"the file system on {device} has counted {number} errors", _CARD)
        for device, number in facts.errors.items()
    ]
    for device, used in facts.life_used.items():
        level = policy.worst(
            (policy.CARD_LIFE_PERCENT.level(used), policy.CARD_PRE_EOL.level(facts.pre_eol.get(device, 0)))
        )
        if level != policy.GOOD:
            found.append(Finding(level, f"{used:.0f} % of the life of {device} is used", _CARD))
    if found:
        return found
    lives = [f"{value:.0f} % of the life of {device} is used" for device, value in facts.life_used.items()]
    return good(", ".join(lives) or "no errors; the card does not report its life")


CHECKS = (
    Check("i2c", "I²C", _read_header, judge_i2c),
    Check("sense-hat", "Sense HAT", _read_header, judge_hat),
    Check("camera", "Camera", _read_camera, judge_camera),
    Check("power", "Power", _read_power, judge_power),
    Check("heat", "Heat", _read_power, judge_heat),
)
CARD = Check("card", "Card", _read_card, judge_card)
