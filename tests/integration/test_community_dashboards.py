"""Community dashboards for Telegraf's own inputs find their measurements and fields in InfluxDB.

Only the names that they read are listed here; the dashboards belong to their authors.
docs/how-to/community-dashboards.md says which were opened in Grafana, and which data each of them misses.
"""

from __future__ import annotations

import pytest

from tests.integration.dashboard_data import Filled

pytestmark = pytest.mark.engines

#: Fields read by the dashboards 10578 (Raspberry Pi Monitoring) and 928 (Telegraf: system dashboard) of grafana.com.
READ = {
    "system": "uptime load1 load5 load15",
    "cpu": "usage_idle usage_user usage_system usage_softirq usage_steal usage_nice usage_irq usage_iowait usage_guest "
    "usage_guest_nice",
    "mem": "total used cached free buffered available used_percent",
    "swap": "in out used total used_percent",
    "processes": "total total_threads running blocked sleeping stopped zombies paging unknown",
    "kernel": "context_switches processes_forked",
    "net": "bytes_recv bytes_sent packets_recv packets_sent err_in err_out drop_in drop_out",
    "diskio": "reads writes read_bytes write_bytes read_time write_time",
    "disk": "total used used_percent inodes_used inodes_free",
}

#: The tags by whose values they offer a choice.
CHOSEN_BY = {"system": "host", "disk": "path", "cpu": "cpu", "diskio": "name", "net": "interface"}


@pytest.mark.parametrize("measurement", READ)
def test_every_field_that_a_community_dashboard_reads_is_written_as_a_number(measurement: str, filled: Filled) -> None:
    (series,) = filled.ask(f'SHOW FIELD KEYS FROM "{measurement}"')
    kinds = dict(series["values"])
    read = READ[measurement].split()
    assert [name for name in read if kinds.get(name) not in {"float", "integer"}] == []
    columns = ", ".join(f'last("{name}")' for name in read)
    (newest,) = filled.ask(f'SELECT {columns} FROM "{measurement}" WHERE "host" = \'{filled.host}\'')  # noqa: S608
    assert None not in newest["values"][0]


@pytest.mark.parametrize("measurement", CHOSEN_BY)
def test_every_choice_that_a_community_dashboard_offers_has_values(measurement: str, filled: Filled) -> None:
    tag = CHOSEN_BY[measurement]
    offered = filled.values(f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{tag}" WHERE "host" = \'{filled.host}\'')
    assert offered
    if measurement == "cpu":
        assert "cpu-total" in offered
    if measurement == "disk":
        assert "/" in offered
