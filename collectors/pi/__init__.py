"""Under-voltage, throttling, clocks, fan and power rails of a Raspberry Pi; wear of its card; its Wi-Fi.

Read from sysfs, hwmon and procfs. vcgencmd, which costs a process per query, is used only for values that the kernel
lacks: the limits that have occurred since boot, the clock and voltage of the core, and the rails of the power
management chip. On other machines nothing is emitted.
"""

from __future__ import annotations

from collectors.core.api import Context, NotApplicable, Polled, Unavailable
from collectors.core.schema import Field, Measurement, Tag
from collectors.core.settings import Setting
from collectors.pi import readings

_NOW = {
    "under_voltage": "Whether the supply was too low within the last two seconds.",
    "frequency_capped": "Whether the firmware caps the frequency of the CPU now.",
    "throttled": "Whether the firmware throttles the CPU now.",
    "soft_temperature_limit": "Whether the soft limit of the temperature is reached now.",
}
_SINCE_BOOT = {
    "under_voltage": "Whether the supply has been too low since the system started.",
    "frequency_capped": "Whether the frequency of the CPU has been capped since the system started.",
    "throttled": "Whether the CPU has been throttled since the system started.",
    "soft_temperature_limit": "Whether the soft limit of the temperature has been reached since the system started.",
}

_MODEL = Tag("model", "The board, as its device tree names it.")

PI = Measurement(
    "pi",
    "The board's supply, limits, clocks and fan.",
    (_MODEL, Tag("fan", "A second fan, and each further one, such as 10-002f-fan2.", optional=True)),
    (
        *(Field(name, bool, "", _NOW[name]) for name in readings.THROTTLED_BITS),
        *(Field(name + readings.SINCE_BOOT, bool, "", _SINCE_BOOT[name]) for name in readings.THROTTLED_BITS),
        Field("cpu_celsius", float, "celsius", "Temperature of the processor.", -40, 125),
        Field("cpu_clock_hertz", int, "hertz", "Clock of the CPU, as the kernel set it.", 0),
        Field("cpu_clock_max_hertz", int, "hertz", "Fastest clock that the CPU may take.", 0),
        Field("core_clock_hertz", int, "hertz", "Clock of the graphics core, as the firmware measures it.", 0),
        Field("core_volts", float, "volts", "Voltage of the core.", 0, 2),
        Field("fan_rpm", int, "rpm", "Speed of the fan.", 0),
        Field("fan_percent", float, "percent", "How hard the fan is driven: the duty cycle of its control.", 0, 100),
        Field("rp1_celsius", float, "celsius", "Temperature of the input and output chip RP1.", -40, 125),
        Field("input_volts", float, "volts", "Voltage that the power supply delivers.", 0, 30),
        Field("battery_volts", float, "volts", "Voltage at the connector of the clock's battery.", 0, 6),
        Field("rails_watts", float, "watts", "Power of all rails whose current is measured, without USB devices.", 0),
    ),
)
PI_RAIL = Measurement(
    "pi_rail",
    "The rails of the power management chip, where the board has one that measures.",
    (_MODEL, Tag("rail", "The rail, as the firmware calls it, in small letters.")),
    (
        Field("volts", float, "volts", "Voltage of the rail.", 0, 30),
        Field("amperes", float, "amperes", "Current through the rail.", 0, 30),
        Field("watts", float, "watts", "Voltage times current.", 0, 900),
    ),
)
SD_CARD = Measurement(
    "sd_card",
    "An SD card or eMMC: bytes written and wear.",
    (
        Tag("device", "The block device."),
        Tag("type", "SD for a card, MMC for an eMMC.", optional=True),
        Tag("name", "The product's name, as the card gives it.", optional=True),
    ),
    (
        Field("written_bytes", int, "bytes", "Written since the system started.", 0),
        Field("life_used_percent", float, "percent", "Minimum share of its life that is used; eMMC only.", 0, 100),
        Field("pre_eol", int, "", "Spare blocks: 1 normal, 2 80 % used, 3 90 % used; eMMC only.", 1, 3),
    ),
)
WIFI = Measurement(
    "wifi",
    "A wireless interface that is connected.",
    (Tag("interface", "The network interface."),),
    (
        Field("signal_dbm", float, "dbm", "Strength of the signal; absent where the driver has no unit.", -255, -1),
        Field("quality", int, "", "Quality of the link, from 0 to quality_max.", 0, 255),
        Field("quality_max", int, "", "Maximum of the quality.", 70, 100),
        Field("bit_rate_bits_per_second", int, "bits_per_second", "Transmit bit rate.", 0),
    ),
)
MEASUREMENTS = (PI, PI_RAIL, SD_CARD, WIFI)

SYS_ROOT = Setting("sys_root", str, "/sys", "Where sysfs is mounted.")
PROC_ROOT = Setting("proc_root", str, "/proc", "Where procfs is mounted.")
VCGENCMD = Setting(
    "vcgencmd",
    str,
    "vcgencmd",
    "Command for the firmware: a name, which can be missing, or a path, which must exist.",
)
FIRMWARE_INTERVAL = Setting(
    "firmware_interval",
    float,
    60.0,
    "Seconds between queries of the firmware, which cost up to four processes; 0 disables them.",
    low=0,
    high=86400,
)
SETTINGS = (SYS_ROOT, PROC_ROOT, VCGENCMD, FIRMWARE_INTERVAL)


def create(context: Context) -> Polled:
    """Return the collector for this board. Raises NotApplicable on machines other than a Raspberry Pi."""
    import time

    from collectors.core.slow_reads import SlowReads
    from collectors.pi import board, files, firmware

    sys_root, proc_root = context.values[SYS_ROOT], context.values[PROC_ROOT]
    tree = f"{sys_root}/firmware/devicetree/base"
    try:
        model = files.read_text(f"{tree}/model").rstrip("\0\n")
        chips = files.read_text(f"{tree}/compatible")
    except FileNotFoundError:
        raise NotApplicable(f"this machine is not a Raspberry Pi, since there is no {tree}/model") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"the model of the board cannot be read: {error}; check the rights of {tree}") from None
    if not model.startswith("Raspberry Pi"):
        raise NotApplicable(f"this machine is not a Raspberry Pi: {tree}/model holds {model[:80]!r}")
    interval = context.values[FIRMWARE_INTERVAL]
    return board.Board(
        model,
        sys_root=sys_root,
        proc_root=proc_root,
        report=context.report.error,
        note=context.report.note,
        # Only BCM2712 boards have the chip that measures their rails.
        reads=SlowReads(context.clock_ns, time.monotonic),
        once=context.once,
        firmware=firmware.Firmware(
            firmware.vcgencmd(context.values[VCGENCMD]),
            interval=interval,
            timer=time.monotonic,
            has_rails="bcm2712" in chips,
        ),
        # Interfaces in another procfs do not belong to this system.
        bit_rate=board.bit_rate if proc_root == PROC_ROOT.default else lambda _interface: None,
    )
