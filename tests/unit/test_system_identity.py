"""The parts ``machine`` and ``top_process`` of the collector ``system``, on small fake trees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.core.line_protocol import FieldValue
from collectors.system import machine, top
from collectors.system.machine import Machine, local_address, pretty_name, updates
from collectors.system.top import Process, Top, parsed, programs
from tests.schema_check import violations

ROUTES = """\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
wlan0 00000000 0102A8C0 0003 0 0 600 00000000 0 0 0
eth0 00000000 0100A8C0 0003 0 0 100 00000000 0 0 0
eth0 0000A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0
wlan0 0002A8C0 00000000 0001 0 0 600 00FFFFFF 0 0 0
"""

LOCAL = "     |-- {}\n        /32 host LOCAL\n"


class Clock:
    """A clock that only a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def part(root: Path, clock: Clock, *, once: bool = False, error: Callable[[str], None] = pytest.fail) -> Machine:
    proc, sys, etc, var = (str(root / name) for name in ("proc", "sys", "etc", "var"))
    return Machine(proc, sys, etc, var, "aarch64", clock, error, once=once)


def test_the_address_is_that_of_the_default_route_with_the_least_metric() -> None:
    tree = LOCAL.format("127.0.0.1") + LOCAL.format("192.168.2.9") + LOCAL.format("192.168.0.7")
    assert local_address(ROUTES, tree, pytest.fail) == "192.168.0.7"


def test_without_a_default_route_there_is_no_address() -> None:
    assert local_address(ROUTES.splitlines()[0], LOCAL.format("192.168.0.7"), pytest.fail) is None


def test_a_default_route_without_an_address_falls_back_to_the_next() -> None:
    assert local_address(ROUTES, LOCAL.format("192.168.2.9"), pytest.fail) == "192.168.2.9"


@pytest.mark.parametrize(
    "line", ["eth0 none", "eth0 0000A8C0 0 1", "eth0 1FFFFFFFFF 0 1 0 0 100 00FFFFFF 0 0 0", "eth0 0 0 1 0 0 odd 0"]
)
def test_a_route_of_another_form_is_counted_and_the_others_are_read(line: str) -> None:
    said: list[str] = []
    assert local_address(f"{ROUTES}{line}\n", LOCAL.format("192.168.0.7"), said.append) == "192.168.0.7"
    assert said == [f"/proc/net/route has {line!r} where a route was expected"]


def test_an_odd_route_costs_no_other_field_of_the_identity(tmp_path: Path) -> None:
    put(tmp_path, {"proc/net/route": f"{ROUTES}odd\n", "proc/net/fib_trie": LOCAL.format("10.0.0.1")})
    put(tmp_path, {"proc/sys/kernel/osrelease": "6.12\n"})
    said: list[str] = []
    (metric,) = part(tmp_path, Clock(), error=said.append).read(1)
    assert metric.fields["kernel"] == "6.12"
    assert said == ["machine: /proc/net/route has 'odd' where a route was expected"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("12 updates can be applied immediately.\n3 of these updates are standard security updates.", 12),
        ("1 update can be applied immediately.", 1),
        ("4 packages can be updated.", 4),
        ("\n\n", 0),
        ("Expanded Security Maintenance is not enabled.\n\n7 updates can be applied immediately.", 7),
        ("something else", None),
    ],
)
def test_updates_are_counted_where_update_notifier_does(text: str, count: int | None) -> None:
    assert updates(text) == count


@pytest.mark.parametrize(("line", "name"), [("PRETTY_NAME=Alpine", "Alpine"), ('PRETTY_NAME=""', None), ("ID=x", None)])
def test_the_operating_system_is_named_as_it_calls_itself(line: str, name: str | None) -> None:
    assert pretty_name(f"NAME=other\n{line}\n") == name


def test_the_identity_is_emitted_at_the_start_and_then_once_an_hour(tmp_path: Path) -> None:
    put(tmp_path, {"proc/device-tree/model": "Raspberry Pi 5\0", "proc/sys/kernel/osrelease": "6.12\n"})
    clock = Clock()
    reader = part(tmp_path, clock)
    (first,) = reader.read(1)
    assert first.fields["model"] == "Raspberry Pi 5"
    assert "address" not in first.fields
    assert not list(violations(first, (machine.MEASUREMENT,)))
    clock.now = machine.PERIOD_SECONDS - 1
    assert reader.read(2) == []
    clock.now = machine.PERIOD_SECONDS
    assert len(reader.read(3)) == 1


def test_a_one_shot_run_always_emits_the_identity(tmp_path: Path) -> None:
    reader = part(tmp_path, Clock(), once=True)
    assert len(reader.read(1)) == len(reader.read(2)) == 1


def stat(name: str, ticks: int, pages: int, start: int = 9) -> str:
    return f"({name}) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {start} 0 {pages} 0\n"


def plant(root: Path, processes: dict[int, str]) -> None:
    put(root, {f"{identity}/stat": f"{identity} {text}" for identity, text in processes.items()})


def test_programs_are_ranked_and_processes_of_one_name_count_together(tmp_path: Path) -> None:
    plant(tmp_path, {1: stat("init", 10, 5), 2: stat("worker", 10, 50), 3: stat("worker", 0, 60)})
    clock = Clock()
    reader = Top(str(tmp_path), 2, 100, 4096, clock, pytest.fail, once=False)
    first = reader.read(1)
    assert [(each.series.tags["by"], each.fields["name"]) for each in first] == [
        ("memory", "worker"),
        ("memory", "init"),
    ]
    clock.now = top.PERIOD_SECONDS - 1
    assert reader.read(2) == []
    clock.now = top.PERIOD_SECONDS
    plant(tmp_path, {1: stat("init", 10, 5), 2: stat("worker", 610, 50), 3: stat("worker", 600, 60)})
    second = reader.read(3)
    by_cpu: list[dict[str, FieldValue]] = [dict(each.fields) for each in second if each.series.tags["by"] == "cpu"]
    assert by_cpu == [{"name": "worker", "memory_bytes": 110 * 4096, "cpu_percent": 10.0}]
    assert not [each for metric in second for each in violations(metric, (top.MEASUREMENT,))]


def test_a_process_id_that_is_used_again_counts_from_the_start_of_the_new_process() -> None:
    before = {"7": Process("old", 1, 5000, 1)}
    (program,) = programs(before, {"7": Process("new", 2, 30, 1)})
    assert program.ticks == 30


def test_a_name_may_have_brackets_and_unprintable_characters() -> None:
    content = b"7 (a) b\n\xff) S" + stat("x", 3, 4).partition(")")[2].removeprefix(" S").encode()
    process = parsed(content)
    assert process.name == "a) b?\N{REPLACEMENT CHARACTER}"
    assert (process.ticks, process.pages) == (3, 4)


def test_a_file_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="too few fields"):
        parsed(b"7 (sh) S 1 1")


@pytest.mark.parametrize("content", ["8 (sh) S 1 1", "", "8 (sh) S" + " x" * 40])
def test_a_process_of_another_form_is_counted_and_the_others_are_ranked(content: str, tmp_path: Path) -> None:
    plant(tmp_path, {1: stat("init", 10, 5)})
    put(tmp_path, {"8/stat": content})
    said: list[str] = []
    (metric,) = Top(str(tmp_path), 1, 100, 4096, Clock(), said.append, once=True).read(1)
    assert metric.fields["name"] == "init"
    assert said == [f"top_process: {tmp_path}/8/stat has {content.encode()[:80]!r}, which is no process"]


def test_names_are_emitted_without_arguments(tmp_path: Path) -> None:
    put(tmp_path, {"5/cmdline": "mysql\0--password=secret\0"})
    plant(tmp_path, {5: stat("mysql", 1, 1)})
    (metric,) = Top(str(tmp_path), 1, 100, 4096, Clock(), pytest.fail, once=True).read(1)
    assert "secret" not in str(metric)
