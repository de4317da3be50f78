"""All checks, in order of dependence: each requires that the earlier ones pass."""

from __future__ import annotations

from sensetig.doctor import dashboards, hardware, influx, network, system

CHECKS = (
    *hardware.CHECKS,
    system.CLOCK,
    system.GROUPS,
    system.SITE,
    system.SETTINGS,
    system.UNITS,
    dashboards.TELEGRAF,
    influx.HEALTH,
    dashboards.GRAFANA,
    influx.OPERATOR,
    influx.READ,
    influx.WRITE,
    network.CERTIFICATES,
    network.WRITE_PATH,
    network.OUTBOX,
    network.RECEIVER,
    influx.BUCKETS,
    influx.FRESH,
    influx.WRITES,
    influx.LOSSES,
    influx.TASKS,
    dashboards.DASHBOARDS,
    dashboards.ALERTS,
    system.DISK,
    hardware.CARD,
    system.MEMORY,
    system.CGROUP,
)
