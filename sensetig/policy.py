"""Thresholds, liveness and "needs action": the one source for dashboards, alert rules, ``sensetig status`` and reports.

It contains only plain values and pure functions, so importing it is cheap. Change a threshold here; ``make dashboards``
then writes the dashboards and alert rules that Grafana loads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from collectors.device_state.measurement import LATE, OFFLINE, ONLINE

#: Levels of urgency: needs action, needs a look, is fine.
ACT, LOOK, GOOD = "act", "look", "good"

#: Most urgent first.
LEVELS = (ACT, LOOK, GOOD)


class Threshold(NamedTuple):
    """The values at which something needs a look, and at which it needs action.

    Args:
        look: infinite if no value below *act* is worth a look.
        act: infinite if no value needs action.
        falling: low values are bad.
    """

    look: float = math.inf
    act: float = math.inf
    falling: bool = False

    def level(self, value: float) -> str:
        """The urgency of a value.

        >>> DISK_PERCENT.level(79.9), DISK_PERCENT.level(80), DISK_PERCENT.level(90)
        ('good', 'look', 'act')
        >>> WIFI_DBM.level(-60), WIFI_DBM.level(-70), WIFI_DBM.level(-80)
        ('good', 'look', 'act')
        """
        for name, bound in ((ACT, self.act), (LOOK, self.look)):
            if value < bound if self.falling else value >= bound:
                return name
        return GOOD


def worst(levels: Iterable[str]) -> str:
    """The most urgent of the levels; GOOD if there are none."""
    return min(levels, key=LEVELS.index, default=GOOD)


# --- the machine ---------------------------------------------------------------------------------

#: The processor. 60 °C is the soft limit of a Pi 3B+, which a healthy Pi in a closed case reaches; every model
#: throttles from 80 °C.
PROCESSOR_CELSIUS = Threshold(65, 80)

#: CPU in use. A Pi becomes slow from about 90 %. A busy processor damages nothing and a compiler keeps it busy for an
#: hour, so no value needs action.
CPU_PERCENT = Threshold(90)

#: Memory that cannot be reclaimed immediately. From 90 % on, a Pi swaps to its card; later the kernel kills programs.
MEMORY_PERCENT = Threshold(75, 90)

#: File systems. Writes fail when they are full; with 20 % free, an SD card can still level its wear, and the owner has
#: some weeks.
DISK_PERCENT = Threshold(80, 90)

#: Days until a file system is full, at the rate of a report's whole period: action while there is time to act, and a
#: look within a month, the longest time between two reports.
DISK_DAYS_LEFT = Threshold(30, 3, falling=True)

#: The alert uses the rate of hours, which a single copy changes: only a disk that is full within a day counts.
DISK_ALERT_DAYS = 1

#: Swap in use. Some is normal; much of it on an SD card is slow and wears the card.
SWAP_PERCENT = Threshold(25, 60)

#: Load per core. Above 1, processes wait for a core.
LOAD_PER_CORE = Threshold(0.8, 1.5)

#: Wi-Fi signal. Video works at -67 dBm and above; links break below -75 dBm.
WIFI_DBM = Threshold(-67, -75, falling=True)

#: Used life of an eMMC, in percent of its rated life. It is reported in steps of ten.
CARD_LIFE_PERCENT = Threshold(80, 90)

#: An eMMC's spare blocks (pre-EOL): 2 is 80 % used, 3 is 90 %. At the end of its life it becomes read-only.
CARD_PRE_EOL = Threshold(act=2)

#: A more recent start is worth a look, because it may be unexpected.
RECENT_START_SECONDS = 3600

#: Events that must not happen at all, such as lost points.
NEVER = Threshold(act=1)

#: Events that may happen occasionally, such as a rejected reading after a start.
SELDOM = Threshold(1, 10)

#: InfluxDB's memory: a quarter of 4 GB on a Pi leaves enough for Grafana and Telegraf.
INFLUXDB_BYTES = Threshold(1e9, 2e9)

#: Series of a bucket: memory and query times grow with their number; a fleet of a hundred Pis has some 10,000.
INFLUXDB_SERIES = Threshold(100_000, 1_000_000)

#: Minimum fill of Telegraf's buffer over a quarter of an hour. A working buffer is empty at times.
BUFFER_PERCENT = 10

#: Age of the oldest point that waits for InfluxDB, in seconds: a restart of the hub takes minutes, an outage longer.
WAITING_SECONDS = Threshold(900, 3600)

#: How long lost points need action, in seconds. They cannot be recovered; the cause is repaired or continues.
LOSS_SECONDS = 86_400

#: Days until a certificate expires. A timer renews it 60 days before, so fewer than 30 mean that the renewal fails.
CERTIFICATE_DAYS = Threshold(30, 7, falling=True)

#: Restarts of a service since boot: some are due to an upgrade or to an engine that starts slowly.
RESTARTS = Threshold(5)

#: Fill of the outbox: time is left to act at the rate that has filled 80 % of it.
OUTBOX_PERCENT = 80

# --- the air -------------------------------------------------------------------------------------

#: Room temperature for people at rest, in °C: comfortable from the first value, warm from the second, hot from the
#: third.
ROOM_CELSIUS = (18, 26, 32)

#: Relative humidity for people, wood and paper, in percent: dry below the first value, damp from the second, risk of
#: mould from the third.
HUMIDITY_PERCENT = (30, 60, 70)

#: Dew point in °C: comfortable from the first value, humid from the second, oppressive from the third.
DEW_POINT_CELSIUS = (5, 16, 21)

#: Air temperatures that are safe for people and equipment, in °C; values outside raise an alert.
AIR_LIMITS_CELSIUS = (0, 40)

#: Change of pressure over three hours, in hPa: steady below the first value, then slow; quick from the second to last,
#: very rapid from the last. The classes of the Met Office's marine forecasts:
#: https://www.metoffice.gov.uk/weather/guides/coast-and-sea/glossary (pressure tendency).
PRESSURE_TENDENCY_HPA = (0.1, 1.5, 3.5, 6.0)

# --- liveness ------------------------------------------------------------------------------------

#: Minimum silence after which a device is late and offline: six and sixty of Telegraf's default intervals, so that a
#: restart or a slow link causes at most "late".
LATE_SECONDS, OFFLINE_SECONDS = 60, 600

#: The same in intervals of the device, used if it is longer; as in `device_state`.
LATE_INTERVALS, OFFLINE_INTERVALS = 3, 10

#: Silence is compared with the interval in full steps of these. InfluxQL cannot calculate with the time of a point, so
#: a query can only ask whether there is one within a fixed span, and each span costs time.
SILENCE_STEPS = (60, 600, 3600, 21600, 172800)

#: A device with a longer silence is not listed.
FORGOTTEN_DAYS = 7

#: Retention of points, and so how long the alert knows a machine: that of the bucket raw.
KNOWN_DAYS = 30

#: Minimum length of a silence that is a gap in charts and an outage in reports.
GAP_SECONDS = 120

#: The share of a report's period without data that needs action.
OUTAGE_PERCENT = Threshold(look=0, act=5)


def full_steps(silent_seconds: float) -> int:
    """Silence rounded down to full steps.

    >>> full_steps(59), full_steps(60), full_steps(1799)
    (0, 60, 600)
    """
    return max((step for step in SILENCE_STEPS if step <= silent_seconds), default=0)


def liveness(
    now_seconds: float,
    seen_seconds: float,
    interval_seconds: float | None = None,
    *,
    late_seconds: float = LATE_SECONDS,
    offline_seconds: float = OFFLINE_SECONDS,
) -> str:
    """Whether a device is online, late or offline.

    Args:
        now_seconds, seen_seconds: since 1970; when it was last heard.
        interval_seconds: the learned interval between its samples; None if there is none.
        late_seconds, offline_seconds: minimum silence for late and offline, whatever the interval.

    >>> liveness(1000, 941), liveness(1000, 940), liveness(1000, 400)
    ('online', 'late', 'offline')
    >>> liveness(1000, 40, 1800)
    'online'
    """
    silent = now_seconds - seen_seconds
    steps, interval = full_steps(silent), interval_seconds or 0
    if silent >= offline_seconds and steps >= OFFLINE_INTERVALS * interval:
        return OFFLINE
    if silent >= late_seconds and steps >= LATE_INTERVALS * interval:
        return LATE
    return ONLINE


#: Urgency of each state of liveness.
LIVENESS_LEVELS = {OFFLINE: ACT, LATE: LOOK, ONLINE: GOOD}

# --- two machines under one name -----------------------------------------------------------------

#: Each boot of a machine has a random number (`system.boot_number`). A restart changes it once; two machines that
#: report under one name change it with every other point. More changes within the window are not restarts.
NAME_CLASH_CHANGES, NAME_CLASH_SECONDS = 4, 900

# --- services of systemd ----------------------------------------------------------------------------

#: The InfluxQL condition for a point of a service that is down: it has failed, waits for its restart, or has ended
#: after it was active. A job started by a timer is inactive between its runs and activating during one, never active.
SERVICE_DOWN = '"active_code" = 3 OR "sub_code" = 13 OR ("active_code" > 0 AND "active_enter_timestamp_us" > 0)'

# --- fields and conditions --------------------------------------------------------------------------------

#: Fields whose latest point shows when a device last reported; any one of them suffices.
SIGNS_OF_LIFE = (
    ("system", "uptime"),
    ("collector", "up"),
    ("environment", "temperature_raw_celsius"),
    ("camera", "frames"),
    ("random_data", "value"),
)

#: File systems in memory and read-only images: always full or never, so irrelevant for a disk.
NO_DISKS = ("tmpfs", "devtmpfs", "squashfs", "overlay", "ramfs", "iso9660")

#: The InfluxQL condition that excludes them.
DISKS_ONLY = f'"fstype" !~ /^({"|".join(NO_DISKS)})$/'
