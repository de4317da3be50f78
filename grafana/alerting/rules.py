"""All alert rules. Each has a section of its name in docs/how-to/runbooks*.md, which is also its panel on *Runbooks*.

The thresholds are in `sensetig/policy.py`; `make dashboards` writes the file that Grafana loads.
"""

from __future__ import annotations

from collectors.outbox import LOSSES
from grafana.alerting.model import CRITICAL, INFO, SLOW, WARNING, Rule
from grafana.alerting.queries import DEVICE, MACHINE, lately, over, selected, times
from grafana.dashboards.lib import silence
from sensetig import policy
from sensetig.policy import SERVICE_DOWN as DOWN

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

#: How far back the rule for silent machines knows them. After that a machine is forgotten, and the alert ends by
#: itself; `sensetig retire` ends it before.
KNOWN_SECONDS = policy.KNOWN_DAYS * _DAY

#: Added to the patience of a retired machine, in seconds: more than any silence.
_RETIRED = 10**12

#: Names of processor sensors in the kernel.
_PROCESSOR = '"sensor" =~ /cpu|soc|core|package|k10temp/'

#: The free space, in percent, over the days that the alert looks ahead.
_OF_FREE = 100.0 * policy.DISK_ALERT_DAYS

_TEMPERATURES = ("temperature_raw_celsius", "temperature_compensated_celsius", "temperature_calibrated_celsius")

#: Points for open panels go over HTTP and are in InfluxDB as well: a drop there loses nothing.
_KEPT = "\"output\" != 'http'"

#: Writable file systems; a read-only image is always full.
_WRITABLE = "\"mode\" = 'rw'"

#: Telegraf and the outbox count in one measurement.
MACHINE_STAGE = (*MACHINE, "stage")

_SILENT = (
    Rule(
        key="device-silent",
        title="Device silent",
        # The seconds that are left until the machine has been silent for too long. One that was retired has a point
        # that says so, and has time for ever.
        query=(
            f'SELECT {silence.patience(policy.OFFLINE_SECONDS, policy.OFFLINE_INTERVALS)} - "quiet" '  # noqa: S608 - no input
            f'+ {_RETIRED} * "retired" AS "value" FROM ('
            + silence.silent(
                "",
                "$timeFilter",
                f'SELECT last("retired") AS "retired" FROM "system" WHERE $timeFilter {silence.GROUPS}',  # noqa: S608 - no input
                policy.OFFLINE_SECONDS,
            )
            + f") WHERE $timeFilter {silence.GROUPS}"
        ),
        range_seconds=KNOWN_SECONDS,
        evaluator="lt",
        bounds=(1,),
        threshold=f"no point for {policy.OFFLINE_SECONDS // 60} min and {policy.OFFLINE_INTERVALS} of its intervals, "
        f"of a machine that wrote within {policy.KNOWN_DAYS} days and is not retired",
        severity=CRITICAL,
        summary="{device} is silent",
        meaning="No data from {device} at {site} has reached the database. Check its power and network; if it is gone "
        "for good: sensetig retire {device}",
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
        threshold="its latest state is offline",
        severity=WARNING,
        summary="{device} is offline",
        meaning="{device} has disconnected, or has sent nothing for ten of its intervals. Check its battery, its Wi-Fi "
        "and the broker.",
        board="mqtt-device",
        panel="State",
        every_seconds=SLOW,
        device="device",
    ),
    Rule(
        key="name-clash",
        title="Two machines under one name",
        query=over("sum", MACHINE, *silence.starts("$timeFilter")),
        range_seconds=policy.NAME_CLASH_SECONDS,
        evaluator="gt",
        bounds=(policy.NAME_CLASH_CHANGES,),
        threshold=f"more than {policy.NAME_CLASH_CHANGES} changes between their starts in "
        f"{policy.NAME_CLASH_SECONDS // 60} min",
        severity=WARNING,
        summary="Two machines report as {device}",
        meaning="Their points mix, and neither's silence is noticed. Give one of them another host name, or set "
        "SENSETIG_HOST on it.",
        board="fleet",
        panel="Two machines under one name",
    ),
)

_HEAT_AND_POWER = (
    Rule(
        key="processor-hot",
        title="Processor too hot",
        query=over("max", MACHINE, selected('mean("temp")', "temp", (*MACHINE, "sensor"), _PROCESSOR)),
        range_seconds=5 * _MINUTE,
        evaluator="gt",
        bounds=(policy.PROCESSOR_CELSIUS.act,),
        threshold=f"above {policy.PROCESSOR_CELSIUS.act} °C, mean of 5 min, for 2 min",
        pending_seconds=2 * _MINUTE,
        severity=WARNING,
        summary="The processor of {device} is at {value} °C",
        meaning=f"A Pi throttles from {policy.PROCESSOR_CELSIUS.act} °C. Improve cooling: check the case, the heat "
        "sink and the fan.",
        board="device",
        panel="Temperatures",
    ),
    Rule(
        key="environment-out-of-limits",
        title="Environment out of limits",
        # Each sensor by the minimum of its temperatures: the CPU's heat only ever adds to the air's. A Sense HAT's
        # pressure sensor is warmer than its humidity sensor, and is left out.
        query=over(
            "min",
            (*DEVICE, "sensor"),
            *(
                selected(f'mean("{field}")', "environment", (*DEVICE, "sensor"), "\"sensor\" != 'lps25h'")
                for field in _TEMPERATURES
            ),
        ),
        range_seconds=15 * _MINUTE,
        evaluator="outside_range",
        bounds=policy.AIR_LIMITS_CELSIUS,
        threshold="below {} or above {} °C, mean of 15 min, for 5 min".format(*policy.AIR_LIMITS_CELSIUS),
        pending_seconds=5 * _MINUTE,
        severity=WARNING,
        summary="The air at {device} is at {value} °C",
        meaning="The air at {device} is too cold or too warm for people and equipment. Check the place, then the "
        "calibration.",
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
        summary="The power supply of {device} is too weak",
        meaning="The voltage of {device} fell below 4.63 V: files may be damaged. Use a better supply and a shorter "
        "cable, and unplug power-hungry USB devices.",
        board="device",
        panel="Throttling and under-voltage",
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
        meaning="The firmware throttles the processor of {device}, because of heat or a weak supply. Processor too hot "
        "or Under-voltage shows the cause.",
        board="device",
        panel="Throttling and under-voltage",
    ),
)

_STORAGE_AND_MEMORY = (
    Rule(
        key="disk-nearly-full",
        title="Disk nearly full",
        query=selected('last("used_percent")', "disk", (*MACHINE, "path"), _WRITABLE),
        range_seconds=10 * _MINUTE,
        evaluator="gt",
        bounds=(policy.DISK_PERCENT.act,),
        threshold=f"above {policy.DISK_PERCENT.act} %, for 5 min",
        pending_seconds=5 * _MINUTE,
        severity=CRITICAL,
        summary="{path} of {device} is {value} % full",
        meaning="Writes and services fail when it is full. Find the largest folders: sudo du -xh --max-depth=2 {path}",
        board="device",
        panel="File systems",
    ),
    Rule(
        key="disk-full-in-a-day",
        title="Disk full within 24 hours",
        # The share of the free space that one day takes, at the pace of the last six hours and of the last hour: a
        # single large copy ends before both agree.
        query=over(
            "min",
            (*MACHINE, "path"),
            selected(
                f'{_OF_FREE * 4} * (first("free") - last("free")) / last("free")', "disk", (*MACHINE, "path"), _WRITABLE
            ),
            selected(
                f'{_OF_FREE * 24} * (first("free") - last("free")) / last("free")',
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
        meaning="At this pace a day takes {value} % of the free space. Find the cause before services stop.",
        board="device",
        panel="File systems",
    ),
    Rule(
        key="sd-card-worn",
        title="Card worn",
        query=selected('max("life_used_percent")', "sd_card", MACHINE),
        range_seconds=_HOUR,
        evaluator="gt",
        bounds=(policy.CARD_LIFE_PERCENT.look,),
        threshold=f"above {policy.CARD_LIFE_PERCENT.look} % of its life used",
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
        bounds=(policy.CARD_PRE_EOL.act - 1,),
        threshold="80 % of the spare blocks used, or more (pre-EOL 2 or 3)",
        every_seconds=SLOW,
        severity=CRITICAL,
        summary="The storage of {device} runs out of spare blocks",
        meaning="It reports pre-EOL {value} of 3. Make a backup and replace it today.",
        board="device",
        panel="Cards",
    ),
    Rule(
        key="memory-full",
        title="Memory nearly full",
        query=selected('mean("used_percent")', "mem", MACHINE),
        range_seconds=5 * _MINUTE,
        evaluator="gt",
        bounds=(policy.MEMORY_PERCENT.act,),
        threshold=f"above {policy.MEMORY_PERCENT.act} %, mean of 5 min, for 10 min",
        pending_seconds=10 * _MINUTE,
        severity=WARNING,
        summary="{device} uses {value} % of its memory",
        meaning="A Pi without free memory swaps to its card and then kills programs. Find the largest process: "
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
        "covered": "Its picture is dark or without detail: an object blocks the lens, or the light is off.",
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
    summary="The camera {camera} sees a person",
    meaning="The detector found a person in a picture with motion ({value} times in 5 minutes).",
    board="camera",
    panel="Latest detections",
)

_PIPELINE = (
    Rule(
        key="gateway-stalled",
        title="MQTT gateway stalled",
        query=selected('last("unconfirmed_seconds")', "mqtt_gateway", MACHINE),
        range_seconds=5 * _MINUTE,
        evaluator="gt",
        bounds=(_MINUTE,),
        threshold=f"above {_MINUTE} s",
        severity=CRITICAL,
        summary="The gateway of {device} has not written a message for {value} s",
        meaning="Messages wait at the broker. Check InfluxDB and, where one runs, the outbox.",
        board="pipeline",
        panel="Oldest unconfirmed message",
    ),
    Rule(
        key="gateway-new-names",
        title="Too many new names",
        query=lately('sum("count")', "telemetry_rejected", DEVICE, 15 * _MINUTE, "\"reason\" = 'too_many_names'"),
        range_seconds=2 * _HOUR,
        evaluator="gt",
        bounds=(0,),
        threshold="any within 15 min",
        severity=WARNING,
        summary="{device} brings more new fields or series than it may in a day",
        meaning="Its firmware is broken, or it is hostile. The bounds are new_fields and new_series.",
        board="pipeline",
        panel="Rejections by device",
        device="device",
    ),
    Rule(
        key="telemetry-rejected",
        title="Telemetry rejected",
        query=lately('sum("count")', "telemetry_rejected", DEVICE, 15 * _MINUTE, "\"reason\" != 'list_value'"),
        range_seconds=2 * _HOUR,
        evaluator="gt",
        bounds=(policy.SELDOM.act,),
        threshold=f"more than {policy.SELDOM.act} values or lines in 15 min",
        severity=WARNING,
        summary="{value} values of {device} were rejected in 15 minutes",
        meaning="A sensor is broken, a limit does not fit, or a clock is wrong; each rejection has its reason.",
        board="pipeline",
        panel="Rejections by device",
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
        meaning="It runs, and all its batches have failed for 10 minutes. Telegraf's log has the error.",
        board="pipeline",
        panel="Up",
    ),
    Rule(
        key="collector-errors",
        title="Collector failing",
        query=selected('sum("errors")', "collector", (*MACHINE, "collector")),
        range_seconds=15 * _MINUTE,
        evaluator="gt",
        bounds=(policy.SELDOM.act,),
        threshold=f"more than {policy.SELDOM.act} errors in 15 min",
        severity=WARNING,
        summary="The collector {collector} of {device} had {value} errors in 15 minutes",
        meaning="Readings failed or were rejected, and are missing. Telegraf's log has the errors.",
        board="pipeline",
        panel="Errors",
    ),
    Rule(
        key="collector-hung",
        title="Collector hung",
        query=over(
            "sum",
            (*MACHINE, "collector"),
            selected('sum("hangs")', "collector", (*MACHINE, "collector")),
            selected('0 * count("up")', "collector", (*MACHINE, "collector")),
        ),
        range_seconds=_HOUR,
        evaluator="gt",
        bounds=(0,),
        threshold="any within 1 h",
        severity=WARNING,
        summary="The collector {collector} of {device} hung {value} times within an hour",
        meaning="It did not answer, and was restarted. Telegraf's log has the place. A device or a network share that "
        "does not answer is the usual reason.",
        board="pipeline",
        panel="Errors",
    ),
    Rule(
        key="buffer-growing",
        title="Buffer growing",
        # The minimum over time: a buffer that empties now and then works, however full it is in between.
        query=selected(
            '100.0 * min("buffer_size") / max("buffer_limit")', "internal_write", (*MACHINE, "output"), _KEPT
        ),
        range_seconds=15 * _MINUTE,
        evaluator="gt",
        bounds=(policy.BUFFER_PERCENT,),
        threshold=f"never below {policy.BUFFER_PERCENT} % of the buffer in 15 min",
        severity=WARNING,
        summary="Telegraf's buffer on {device} does not empty: {value} % full",
        meaning="The database is offline, too slow, or rejects the points of {device}. A full buffer drops the oldest "
        "points.",
        board="pipeline",
        panel="Buffer",
    ),
    Rule(
        key="points-lost",
        title="Points lost",
        query=over(
            "sum",
            MACHINE,
            *(selected(f'non_negative_difference("{field}")', "delivery", MACHINE_STAGE) for field in LOSSES),
        ),
        range_seconds=15 * _MINUTE,
        evaluator="gt",
        bounds=(0,),
        threshold="any within 15 min",
        severity=CRITICAL,
        summary="{device} has lost {value} points",
        meaning="Telegraf's full buffer dropped points of {device}, InfluxDB refused them, or the disk damaged them. "
        "*Points lost by cause* shows which; refused.jsonl in the folder of the outbox has each refused point.",
        board="pipeline",
        panel="Points lost",
    ),
    Rule(
        key="outbox-waiting",
        title="Points wait in the outbox",
        # The minimum over time: an outbox that empties now and then works.
        query=selected('min("oldest_seconds")', "outbox", MACHINE),
        range_seconds=15 * _MINUTE,
        evaluator="gt",
        bounds=(policy.WAITING_SECONDS.look,),
        threshold=f"never below {policy.WAITING_SECONDS.look // 60} min in 15 min",
        severity=WARNING,
        summary="The oldest point of {device} has waited for {value} s",
        meaning="InfluxDB is slower than the points come, or does not take those of {device}. The field reason of "
        "outbox has its last error.",
        board="pipeline",
        panel="Age of the oldest waiting point",
    ),
    Rule(
        key="outbox-nearly-full",
        title="Outbox nearly full",
        query=selected('100.0 * last("waiting_bytes") / last("limit_bytes")', "outbox", MACHINE),
        range_seconds=15 * _MINUTE,
        evaluator="gt",
        bounds=(policy.OUTBOX_PERCENT,),
        threshold=f"above {policy.OUTBOX_PERCENT} % of outbox_megabytes",
        severity=CRITICAL,
        summary="The outbox of {device} is {value} % full",
        meaning="When it is full, points wait in Telegraf's memory, which drops the oldest. Repair the way to "
        "InfluxDB, or raise outbox_megabytes.",
        board="pipeline",
        panel="Points waiting",
    ),
    Rule(
        key="outbox-damaged",
        title="Outbox damaged",
        query=over(
            "sum",
            MACHINE,
            *(
                selected(f'non_negative_difference("{field}")', "outbox", MACHINE)
                for field in ("damaged_points", "missing_batches")
            ),
        ),
        range_seconds=_HOUR,
        evaluator="gt",
        bounds=(0,),
        threshold="any point or file within 1 h",
        severity=WARNING,
        summary="The disk of {device} has damaged the outbox",
        meaning="Files of the outbox were damaged or are missing; damaged ones are kept in its folder damaged. The "
        "card or its supply may be failing.",
        board="pipeline",
        panel="Points lost by cause",
    ),
    Rule(
        key="spool-dropped",
        title="Spool dropped lines",
        query=lately('sum("dropped")', "spool", (*MACHINE, "spool"), 15 * _MINUTE),
        range_seconds=2 * _HOUR,
        evaluator="gt",
        bounds=(0,),
        threshold="any within 15 min",
        severity=CRITICAL,
        summary="The spool {spool} of {device} has lost {value} lines",
        meaning="The spool was full, its disk was full, or one of its files is damaged. Telegraf does not read it, the "
        "disk is too small, or the card is failing.",
        board="pipeline",
        panel="Lines lost in spools",
    ),
    Rule(
        key="writes-held",
        title="Writes held at the hub",
        query=selected('min("holding")', "receiver", MACHINE),
        range_seconds=5 * _MINUTE,
        evaluator="gt",
        bounds=(0,),
        threshold="for 5 min",
        severity=CRITICAL,
        summary="{device} takes no points of other machines",
        meaning="The disk of InfluxDB has less free space than its reserve, or InfluxDB does not answer. Points wait "
        "in the outboxes. The field reason of receiver has the cause.",
        board="pipeline",
        panel="Writes of devices",
    ),
)

_SYSTEM = (
    Rule(
        key="service-down",
        title="Service down",
        # 0 is active. The minimum over time: a service that restarts repeatedly was active in between. A job that
        # has ended well counts as 0, too.
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
        summary="{name} is not running on {device}",
        meaning="It has failed or was stopped, and has not been active for 5 minutes. Its log: "
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
        meaning="Its points may carry wrong times. Check: timedatectl timesync-status",
        board="device",
        panel="Clock synchronised",
    ),
)

RULES = (*_SILENT, *_HEAT_AND_POWER, *_STORAGE_AND_MEMORY, *_SYSTEM, *_CAMERA, _PERSON, *_PIPELINE)
