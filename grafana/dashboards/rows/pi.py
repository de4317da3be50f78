"""The Device dashboard's rows of the ``pi`` collector: power supply, throttling, clocks, fan, card and Wi-Fi."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders.common import VizTextDisplayOptions
from grafana_foundation_sdk.models.common import VizOrientation

from collectors.pi import MEASUREMENTS
from grafana.dashboards.lib import thresholds
from grafana.dashboards.lib.boards import Row
from grafana.dashboards.lib.panels import Panel, lines, listing, number, states
from grafana.dashboards.lib.query import Source
from grafana.dashboards.lib.style import paint, properties, shaded, value_map
from sensetig import policy

_SOURCE = Source(MEASUREMENTS)

_NOT_A_PI = "No data of a Raspberry Pi in this time range"

#: The firmware's reactions to heat and a weak supply, and their names on the panels.
_FLAGS = {
    "under_voltage": "Under-voltage",
    "throttled": "Throttled",
    "frequency_capped": "Frequency capped",
    "soft_temperature_limit": "Soft heat limit",
}

#: An eMMC's report on its spare blocks; see ``policy.CARD_PRE_EOL``.
_SPARE_BLOCKS = {
    "1": ("normal", thresholds.GOOD),
    "2": ("80 % used", thresholds.ACT),
    "3": ("90 % used", thresholds.ACT),
}


def rows() -> Iterable[Row]:
    yield Row("device", "Raspberry Pi: power and throttling", _power(), order=40, collapsed=True)
    yield Row("device", "Raspberry Pi: card and Wi-Fi", _card_and_wifi(), order=42, collapsed=True)


def _power() -> list[Panel]:
    return [
        states(
            "Throttling and under-voltage",
            "When the firmware throttled the processor, and why. Red under-voltage: a better supply or cable. Red "
            "throttling or heat limit: better cooling.",
            _SOURCE.mean("pi", *_FLAGS, function="last", hours="max", names=_FLAGS.values()),
            # Hours hold numbers: 1 where it was so at any time of the hour.
            texts={
                "true": ("yes", thresholds.ACT),
                "false": ("no", thresholds.GOOD),
                "1": ("yes", thresholds.ACT),
                "0": ("no", thresholds.GOOD),
            },
            size=(16, 6),
            no_data=_NOT_A_PI,
        ),
        number(
            "Since boot",
            "Events at any time since the device booted, even between two readings.",
            _SOURCE.newest("pi", *(f"{flag}_since_boot" for flag in _FLAGS), names=_FLAGS.values()),
            texts={"true": ("yes", thresholds.LOOK), "false": ("never", thresholds.GOOD)},
            columns=f"/^({'|'.join(_FLAGS.values())})$/",
            recent=True,
            size=(8, 6),
            no_data=_NOT_A_PI,
        )
        .orientation(VizOrientation.HORIZONTAL)
        .wide_layout(True)
        .text(VizTextDisplayOptions().title_size(14).value_size(16)),
        lines(
            "Clock frequency",
            "Clock of the processor and of the graphics core. A processor clock below its maximum under load is "
            "throttling.",
            _SOURCE.mean(
                "pi",
                "cpu_clock_hertz",
                "cpu_clock_max_hertz",
                "core_clock_hertz",
                names=("processor", "maximum", "graphics core"),
            ),
            low=0,
            size=(6, 8),
            fill=4,
            no_data=_NOT_A_PI,
            overrides={"maximum": properties(color=paint("text"), custom__lineStyle={"fill": "dash", "dash": [6, 6]})},
            colours={"processor": "blue", "graphics core": "purple"},
        ),
        lines(
            "Chip temperature",
            f"The processor and, on a Pi 5, the I/O chip. From {policy.PROCESSOR_CELSIUS.act} °C the Pi throttles.",
            _SOURCE.mean("pi", "cpu_celsius", "rp1_celsius", names=("processor", "RP1")),
            soft_low=30,
            soft_high=85,
            steps=thresholds.PROCESSOR,
            size=(6, 8),
            no_data=_NOT_A_PI,
        ),
        lines(
            "Voltages",
            "Voltages of the supply, the core and the clock's battery, where the board measures them. A supply below "
            "4.8 V under load is too weak, or its cable too thin.",
            _SOURCE.mean("pi", "input_volts", "core_volts", "battery_volts", names=("supply", "core", "clock battery")),
            low=0,
            decimals=1,
            size=(6, 8),
            fill=4,
            no_data=_NOT_A_PI,
        ),
        lines(
            "Fan",
            "Speed of the fan. A fan that does not turn while the processor is hot is blocked or unplugged.",
            _SOURCE.mean("pi", "fan_rpm", names=("speed",)),
            _SOURCE.mean("pi", "fan_percent", names=("drive",)),
            low=0,
            size=(6, 8),
            no_data="No fan in this time range",
            overrides={
                "speed": shaded("blue"),
                "drive": properties(
                    unit="percent",
                    max=100,
                    color=paint("purple"),
                    custom__axisPlacement="right",
                    custom__fillOpacity=0,
                ),
            },
        ),
        lines(
            "Power by rail",
            "Power of each rail behind the power management chip (Pi 5), without USB devices.",
            _SOURCE.mean("pi_rail", "watts", by=("rail",)),
            stacked=True,
            low=0,
            decimals=1,
            size=(24, 8),
            no_data="No rail in this time range; a Raspberry Pi 5 measures them",
        ),
    ]


def _card_and_wifi() -> list[Panel]:
    return [
        listing(
            "Cards",
            "Bytes written since boot and, where the card reports it (eMMC), its used life. From "
            f"{policy.CARD_LIFE_PERCENT.act} % back up and replace it.",
            _SOURCE.newest(
                "sd_card",
                "written_bytes",
                by=("device", "type", "name"),
                names=("Written",),
            ),
            _SOURCE.newest("sd_card", "life_used_percent", by=("device",), names=("Life used",)),
            _SOURCE.newest("sd_card", "pre_eol", by=("device",), names=("Spare blocks",)),
            joined_by="device",
            hidden=("Age",),
            order=("device", "name", "type", "Written", "Life used", "Spare blocks"),
            renamed={"device": "Device", "name": "Name", "type": "Type"},
            columns={
                "Type": properties(custom__width=80),
                "Written": properties(unit="bytes", decimals=1),
                "Life used": properties(unit="percent", decimals=0, noValue="not reported"),
                "Spare blocks": properties(
                    mappings=value_map(_SPARE_BLOCKS),
                    custom__cellOptions={"type": "color-text"},
                    noValue="not reported",
                ),
            },
            seconds=policy.OFFLINE_SECONDS,
            size=(24, 5),
            no_data=f"No card was read within {policy.OFFLINE_SECONDS // 60} minutes",
        ),
        lines(
            "Card writes",
            "Bytes written per second. Steady writing wears a card out: look for a program that logs too much.",
            _SOURCE.rate("sd_card", "written_bytes", by=("device",)),
            low=0,
            size=(8, 7),
            no_data="No card in this time range",
        ),
        lines(
            "Wi-Fi signal",
            f"Strength of the signal. Below the upper dashed line ({policy.WIFI_DBM.look} dBm) video stutters, below "
            f"the lower ({policy.WIFI_DBM.act} dBm) links break.",
            _SOURCE.mean("wifi", "signal_dbm", by=("interface",)),
            soft_low=-90,
            soft_high=-30,
            steps=thresholds.SIGNAL,
            fill=0,
            size=(8, 7),
            no_data="No Wi-Fi in this time range",
        ),
        lines(
            "Wi-Fi bit rate",
            "The negotiated rate of the link, not the traffic.",
            _SOURCE.mean("wifi", "bit_rate_bits_per_second", by=("interface",)),
            low=0,
            size=(8, 7),
            no_data="No Wi-Fi bit rate in this time range",
        ),
    ]
