"""All alert rules. Each has a section of the same name in docs/runbooks.md, which is its panel on *Runbooks*, too.

A threshold is changed here; `make dashboards` then writes what Grafana loads.
"""

from __future__ import annotations

from grafana.alerting.model import CRITICAL, INFO, SLOW, WARNING, Rule
from grafana.alerting.queries import DEVICE, MACHINE, lately, over, selected, times
from grafana.dashboards.rows.services import DOWN

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

#: How long a machine may be silent, and how far back the rule knows that there was one: as far as the bucket raw goes.
#: After that it is forgotten, and the alert ends by itself; `sensetig retire` ends it before.
SILENT_SECONDS, KNOWN_SECONDS = 10 * _MINUTE, 30 * _DAY

#: Names of sensors, as the kernel gives them, that are in a processor.
_PROCESSOR = '"sensor" =~ /cpu|soc|core|package|k10temp/'

_TEMPERATURES = ("temperature_raw_celsius", "temperature_compensated_celsius", "temperature_calibrated_celsius")

#: What goes to open panels over HTTP is in InfluxDB as well: nothing is lost where it is let go.
_KEPT = "\"output\" != 'http'"

#: File systems that can be written to; an image that is mounted read-only is always full.
_WRITABLE = "\"mode\" = 'rw'"

_SILENT = (
    Rule(
        key="device-silent",
        title="Device silent",
        # A machine that has vanished has points in the long range and none in the short one. One that was retired has
        # a point that says so, worth more than any number of points that are missing.
        query=over(
            "sum",
            MACHINE,
            selected('count("uptime")', "system", MACHINE, f"time > now() - {SILENT_SECONDS}s"),
            selected('0 * last("uptime")', "system", MACHINE),
            selected('last("retired")', "system", MACHINE),
        ),
        range_seconds=KNOWN_SECONDS,
        evaluator="lt",
        bounds=(1,),
        threshold="no point for 10 min, of a machine that wrote within 30 days and is not retired",
        severity=CRITICAL,
        summary="{device} has been silent for 10 minutes or longer",
        meaning="Nothing of {device} at {site} has reached the database. Look whether it has power and network; if it "
        "is gone for good: sensetig retire {device}",
        board="fleet",
        panel="Devices",
        every_seconds=SLOW,
        error="Error",
    ),
    Rule(
        key="downstream-silent",
        title="Downstream device offline",
        query=over(
            "sum",
            DEVICE,
            selected('last("online")', "device_state", DEVICE),
            selected('last("retired")', "device_state", DEVICE),
        ),
        range_seconds=KNOWN_SECONDS,
        evaluator="lt",
        bounds=(1,),
        threshold="its newest state is offline",
        severity=WARNING,
        summary="{device} is offline",
        meaning="{device} has said that it leaves, or has sent nothing for ten of its intervals. Look at its battery, "
        "its Wi-Fi and the broker.",
        board="live",
        panel="State of all devices",
        every_seconds=SLOW,
        device="device",
    ),
)

_HEAT_AND_POWER = (
    Rule(
        key="processor-hot",
        title="Processor too hot",
        query=over("max", MACHINE, selected('mean("temp")', "temp", (*MACHINE, "sensor"), _PROCESSOR)),
        range_seconds=5 * _MINUTE,
        evaluator="gt",
        bounds=(80,),
        threshold="above 80 °C, mean of 5 min, for 2 min",
        pending_seconds=2 * _MINUTE,
        severity=WARNING,
        summary="The processor of {device} is at {value} °C",
        meaning="A Pi slows down from 80 °C on. Give it air: look at the case, the heat sink and the fan.",
        board="device",
        panel="Temperatures",
    ),
    Rule(
        key="environment-out-of-limits",
        title="Environment out of limits",
        # Of what a device tells: the CPU's heat only ever adds to what the board measures, so the least is nearest.
        query=over("min", DEVICE, *(selected(f'mean("{field}")', "environment", DEVICE) for field in _TEMPERATURES)),
        range_seconds=15 * _MINUTE,
        evaluator="outside_range",
        bounds=(0, 40),
        threshold="below 0 or above 40 °C, mean of 15 min, for 5 min",
        pending_seconds=5 * _MINUTE,
        severity=WARNING,
        summary="It is {value} °C at {device}",
        meaning="The air at {device} is colder or warmer than people and equipment should have it. Look at the place, "
        "then at the calibration.",
        board="environment",
        panel="Temperature",
        device="device",
        value="%.1f",
    ),
    Rule(
        key="under-voltage",
        title="Under-voltage",
        query=times("under_voltage", '"under_voltage" = true', "pi", MACHINE),
        range_seconds=5 * _MINUTE,
        evaluator="gt",
        bounds=(0,),
        threshold="seen within 5 min",
        severity=WARNING,
        summary="The supply of {device} is too weak",
        meaning="The voltage of {device} fell below 4.63 V: files may be damaged. Use a better supply and a shorter "
        "cable, and take power-hungry USB devices off.",
        board="device",
        panel="Now",
    ),
    Rule(
        key="throttled",
        title="Throttled",
        query=times("throttled", '"throttled" = true', "pi", MACHINE),
        range_seconds=5 * _MINUTE,
        evaluator="gt",
        bounds=(0,),
        threshold="seen within 5 min, for 2 min",
        pending_seconds=2 * _MINUTE,
        severity=WARNING,
        summary="{device} is throttled",
        meaning="The firmware holds the processor of {device} back, for heat or for a weak supply. Both have a rule of "
        "their own that tells which.",
        board="device",
        panel="Now",
    ),
)

_STORAGE_AND_MEMORY = (
    Rule(
        key="disk-nearly-full",
        title="Disk nearly full",
        query=selected('last("used_percent")', "disk", (*MACHINE, "path"), _WRITABLE),
        range_seconds=10 * _MINUTE,
        evaluator="gt",
        bounds=(90,),
        threshold="above 90 %, for 5 min",
        pending_seconds=5 * _MINUTE,
        severity=CRITICAL,
        summary="{path} of {device} is {value} % full",
        meaning="When it is full, nothing more is written, and services fail. Find what has grown: "
        "sudo du -xh --max-depth=2 {path}",
        board="device",
        panel="File systems",
    ),
    Rule(
        key="disk-full-in-a-day",
        title="Disk full within 24 hours",
        # What one day takes of what is free, at the pace of the last six hours and at that of the last: a copy of
        # something large is over before both say so.
        query=over(
            "min",
            (*MACHINE, "path"),
            selected('400.0 * (first("free") - last("free")) / last("free")', "disk", (*MACHINE, "path"), _WRITABLE),
            selected(
                '2400.0 * (first("free") - last("free")) / last("free")',
                "disk",
                (*MACHINE, "path"),
                f"{_WRITABLE} AND time > now() - {_HOUR}s",
            ),
        ),
        range_seconds=6 * _HOUR,
        evaluator="gt",
        bounds=(100,),
        threshold="at the pace of the last 6 h and of the last hour, for 30 min",
        pending_seconds=30 * _MINUTE,
        every_seconds=SLOW,
        severity=WARNING,
        summary="{path} of {device} will be full within a day",
        meaning="At its pace a day takes {value} % of what is still free. Find what grows before it stops services.",
        board="device",
        panel="File systems",
    ),
    Rule(
        key="sd-card-worn",
        title="Card worn",
        query=selected('max("life_used_percent")', "sd_card", MACHINE),
        range_seconds=_HOUR,
        evaluator="gt",
        bounds=(80,),
        threshold="above 80 % of its life used",
        every_seconds=SLOW,
        severity=WARNING,
        summary="The storage of {device} has used {value} % of its life",
        meaning="Make a backup now, and replace it before it turns read-only.",
        board="device",
        panel="Cards",
    ),
    Rule(
        key="sd-card-end-of-life",
        title="Card at its end",
        query=selected('max("pre_eol")', "sd_card", MACHINE),
        range_seconds=_HOUR,
        evaluator="gt",
        bounds=(1,),
        threshold="80 % of the spare blocks used, or more (pre-EOL 2 or 3)",
        every_seconds=SLOW,
        severity=CRITICAL,
        summary="The storage of {device} runs out of spare blocks",
        meaning="It says so itself (pre-EOL {value} of 3). Make a backup and replace it today.",
        board="device",
        panel="Cards",
    ),
    Rule(
        key="memory-full",
        title="Memory nearly full",
        query=selected('mean("used_percent")', "mem", MACHINE),
        range_seconds=5 * _MINUTE,
        evaluator="gt",
        bounds=(90,),
        threshold="above 90 %, mean of 5 min, for 10 min",
        pending_seconds=10 * _MINUTE,
        severity=WARNING,
        summary="{device} uses {value} % of its memory",
        meaning="A Pi without memory swaps to its card and then kills programs. Find the greatest: "
        "ps aux --sort=-rss | head",
        board="device",
        panel="Memory",
    ),
)

_CAMERA = tuple(
    Rule(
        key=f"camera-{state}",
        title=f"Camera {state}",
        query=times(state, f'"{state}" = true', "camera", (*MACHINE, "camera")),
        range_seconds=2 * _MINUTE,
        evaluator="gt",
        bounds=(0,),
        threshold="seen within 2 min, for 1 min",
        pending_seconds=_MINUTE,
        severity=WARNING,
        summary=f"The camera {{camera}} of {{device}} is {state}",
        meaning=meaning,
        board="camera",
        panel="Lens",
    )
    for state, meaning in {
        "covered": "Its picture is dark or without detail: something is before the lens, or the light is off.",
        "frozen": "Its pictures are identical: the sensor or the stream hangs. Restart the camera's service.",
    }.items()
)

_PERSON = Rule(
    key="person-seen",
    title="Person seen",
    query=lately('count("confidence")', "camera_detection", (*MACHINE, "camera"), 5 * _MINUTE, "\"label\" = 'person'"),
    range_seconds=_HOUR,
    evaluator="gt",
    bounds=(0,),
    threshold="motion with a person within 5 min",
    severity=INFO,
    summary="A person is before the camera {camera}",
    meaning="There was motion, and the detector found a person in its picture ({value} times in 5 minutes).",
    board="camera",
    panel="Latest detections",
)

_PIPELINE = (
    Rule(
        key="telemetry-rejected",
        title="Telemetry rejected",
        query=lately('sum("count")', "telemetry_rejected", DEVICE, 15 * _MINUTE),
        range_seconds=2 * _HOUR,
        evaluator="gt",
        bounds=(10,),
        threshold="more than 10 values or lines in 15 min",
        severity=WARNING,
        summary="{value} values of {device} were refused in 15 minutes",
        meaning="A sensor is broken, a limit does not fit, or a clock is wrong; the reason stands beside each.",
        board="pipeline",
        panel="Refused by device",
        device="device",
    ),
    Rule(
        key="collector-down",
        title="Collector down",
        query=selected('max("up")', "collector", (*MACHINE, "collector")),
        range_seconds=10 * _MINUTE,
        evaluator="lt",
        bounds=(1,),
        threshold="no batch in 10 min",
        severity=WARNING,
        summary="The collector {collector} of {device} collects nothing",
        meaning="It runs, and has failed as a whole for 10 minutes. Its last sentence is in Telegraf's log.",
        board="pipeline",
        panel="Up",
    ),
    Rule(
        key="collector-errors",
        title="Collector failing",
        query=selected('sum("errors")', "collector", (*MACHINE, "collector")),
        range_seconds=15 * _MINUTE,
        evaluator="gt",
        bounds=(10,),
        threshold="more than 10 errors in 15 min",
        severity=WARNING,
        summary="The collector {collector} of {device} had {value} errors in 15 minutes",
        meaning="Readings failed or were refused; what was not read is missing. The sentences are in Telegraf's log.",
        board="pipeline",
        panel="Errors",
    ),
    Rule(
        key="buffer-growing",
        title="Buffer growing",
        # The least of a time: a buffer that is emptied now and then works, however full it is between.
        query=selected(
            '100.0 * min("buffer_size") / max("buffer_limit")', "internal_write", (*MACHINE, "output"), _KEPT
        ),
        range_seconds=15 * _MINUTE,
        evaluator="gt",
        bounds=(10,),
        threshold="never below 10 % of the buffer in 15 min",
        severity=WARNING,
        summary="Telegraf's buffer on {device} does not empty: {value} % are full",
        meaning="The database is away, too slow, or refuses what {device} writes. When the buffer is full, the oldest "
        "points are lost.",
        board="pipeline",
        panel="Buffer",
    ),
    Rule(
        key="points-lost",
        title="Points lost",
        query=over(
            "sum",
            (*MACHINE, "output"),
            selected('non_negative_difference("metrics_dropped")', "internal_write", (*MACHINE, "output"), _KEPT),
        ),
        range_seconds=15 * _MINUTE,
        evaluator="gt",
        bounds=(0,),
        threshold="any within 15 min",
        severity=CRITICAL,
        summary="{device} has lost {value} points",
        meaning="Telegraf's buffer on {device} was full and let the oldest points go. They are gone: make the way to "
        "the database work, or the buffer larger.",
        board="pipeline",
        panel="Points lost",
    ),
)

_SYSTEM = (
    Rule(
        key="service-down",
        title="Service down",
        # 0 is active. The least of a time: a service that is started again and again was active in between. Where
        # nothing is to be said, as of a job that has ended well, it is 0, too.
        query=over(
            "sum",
            (*MACHINE, "name"),
            selected('min("active_code")', "systemd_units", (*MACHINE, "name"), f'("active_code" = 0 OR {DOWN})'),
            selected('0 * count("active_code")', "systemd_units", (*MACHINE, "name")),
        ),
        range_seconds=5 * _MINUTE,
        evaluator="gt",
        bounds=(0,),
        threshold="failed, or ended after it was active, and not active for 5 min",
        severity=CRITICAL,
        summary="{name} does not run on {device}",
        meaning="It has failed or was stopped, and systemd has not had it active for 5 minutes. Its last words: "
        "journalctl -u {name} -n 50",
        board="device",
        panel="Services",
    ),
    Rule(
        key="clock-unsynchronised",
        title="Clock unsynchronised",
        query=selected('max("synchronised")', "clock", MACHINE),
        range_seconds=15 * _MINUTE,
        evaluator="lt",
        bounds=(1,),
        threshold="not synchronised for 15 min, for 15 min",
        pending_seconds=15 * _MINUTE,
        severity=WARNING,
        summary="The clock of {device} is not synchronised",
        meaning="Its points may carry wrong times. Look at: timedatectl timesync-status",
        board="device",
        panel="Clock synchronised",
    ),
)

RULES = (*_SILENT, *_HEAT_AND_POWER, *_STORAGE_AND_MEMORY, *_SYSTEM, *_CAMERA, _PERSON, *_PIPELINE)
