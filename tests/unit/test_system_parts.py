"""The parts of ``system`` parse the kernel's files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.core.line_protocol import Metric
from collectors.core.slow_reads import Answer, Read
from collectors.system import cpu, diskio, files, host, memory, network, processes, temperature


def test_a_file_that_opens_but_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory") as caught:
        files.read(str(tmp_path))
    assert files.sentence(caught.value) == f"{tmp_path} cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("error", "words"),
    [(ValueError("no line"), "no line"), (ValueError(), "ValueError: "), (KeyError("a"), "KeyError: 'a'")],
)
def test_an_error_is_described_in_words(error: Exception, words: str) -> None:
    assert files.sentence(error) == words


def refuse(sentence: str) -> None:
    pytest.fail(f"a line was refused: {sentence}")


def times(**ticks: int) -> list[int]:
    states = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    return [ticks.get(state, 0) for state in states]


def test_usage_is_the_share_of_the_ticks_between_two_samples() -> None:
    fields = cpu.usage(times(user=10, idle=100), times(user=40, idle=160, steal=10))
    assert fields is not None
    assert (fields["usage_user"], fields["usage_idle"], fields["usage_steal"]) == (30, 60, 10)


def test_guests_are_counted_within_user_and_not_twice() -> None:
    fields = cpu.usage(times(), times(user=60, guest=20, nice=40, guest_nice=40))
    assert fields is not None
    assert (fields["usage_user"], fields["usage_guest"]) == (40, 20)
    assert (fields["usage_nice"], fields["usage_guest_nice"]) == (0, 40)
    assert sum(fields.values()) == 100


def test_a_state_that_goes_back_counts_as_nothing_and_the_rest_still_adds_up() -> None:
    fields = cpu.usage(times(iowait=10), times(iowait=7, idle=50, user=50))
    assert fields is not None
    assert fields["usage_iowait"] == 0
    assert sum(fields.values()) == 100


def test_no_time_passed_is_no_usage() -> None:
    assert cpu.usage(times(idle=5), times(idle=5)) is None


def test_old_kernels_have_fewer_states() -> None:
    assert cpu.parse_times(b"cpu 1 2 3 4\n", refuse) == {"cpu-total": times(user=1, nice=2, system=3, idle=4)}


@pytest.mark.parametrize("content", [b"", b"intr 5\n", b"cpu a b c d\n"])
def test_a_stat_file_without_times_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="/proc/stat"):
        cpu.parse_times(content, lambda _: None)


def test_a_processor_without_its_ticks_is_counted_and_the_others_are_read() -> None:
    said: list[str] = []
    found = cpu.parse_times(b"cpu 1 2 3 4\ncpu0 1 2 ? 4\ncpu1\ncpu2 -1 2 3 4\ncpu3 0 0 0 1\nintr 5\n", said.append)
    assert list(found) == ["cpu-total", "cpu3"]
    assert said == [
        f"/proc/stat has {line!r} where ticks were expected" for line in (b"cpu0 1 2 ? 4", b"cpu1", b"cpu2 -1 2 3 4")
    ]


def test_a_processor_is_measured_from_its_second_sample_on_and_its_absence_is_none(tmp_path: Path) -> None:
    said: list[str] = []
    stat = tmp_path / "stat"
    part = cpu.Cpu(str(tmp_path), said.append)

    def measured(text: str) -> list[str]:
        stat.write_text(text)
        return [metric.series.tags["cpu"] for metric in part.read(0)]

    assert measured("cpu 0 0 0 10\ncpu0 0 0 0 10\n") == []
    assert measured("cpu 0 0 0 30\ncpu0 0 0 0 20\ncpu1 0 0 0 10\n") == ["cpu-total", "cpu0"]
    assert measured("cpu 0 0 0 50\ncpu0 0 0 0 30\ncpu1 0 0 0 20\n") == ["cpu-total", "cpu0", "cpu1"]
    assert measured("cpu 0 0 0 60\ncpu0 0 0 0 40\n") == ["cpu-total", "cpu0"]
    assert said == []


def test_times_that_go_back_are_counted_and_give_no_usage(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "stat").write_text("cpu 50 0 0 50\ncpu0 50 0 0 50\n")
    part = cpu.Cpu(str(tmp_path), said.append)
    part.read(0)
    (tmp_path / "stat").write_text("cpu 60 0 0 60\ncpu0 1 0 0 1\n")
    assert [metric.series.tags["cpu"] for metric in part.read(0)] == ["cpu-total"]
    assert said == ["cpu: the times of cpu0 went back, so it has no usage in this batch"]


MEMINFO = b"MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 600 kB\nCached: 200 kB\nSReclaimable: 50 kB\n"
SWAPINFO = b"SwapTotal: 400 kB\nSwapFree: 100 kB\n"


def test_used_memory_is_total_minus_available() -> None:
    found = memory.parse_meminfo(MEMINFO + SWAPINFO + b"HugePages_Total: 3\nHugepagesize: 2048 kB\n", refuse)
    fields = memory.memory(found, refuse)
    assert fields["used"] == 400 * 1024
    assert (fields["used_percent"], fields["available_percent"]) == (40, 60)
    assert fields["cached"] == 250 * 1024
    assert (fields["huge_pages_total"], fields["huge_page_size"]) == (3, 2 * 1024 * 1024)


def test_memory_that_a_kernel_was_built_without_is_known_to_be_none() -> None:
    assert memory.memory(memory.parse_meminfo(MEMINFO + SWAPINFO, refuse), refuse)["high_total"] == 0


@pytest.mark.parametrize("total", [b"", b"MemTotal: 0 kB\n", b"MemTotal: much kB\n"])
def test_memory_without_its_total_is_an_error(total: bytes) -> None:
    with pytest.raises(ValueError, match=r"no memory at all|no line MemTotal"):
        memory.memory(memory.parse_meminfo(total + b"MemFree: 300 kB\n", lambda _: None), refuse)


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        (b"SwapFree:18014398503714728 kB", {"swap_free"}),  # less than nothing, as a number without a sign
        (b"Dirty: many kB", {"dirty"}),
        (b"Dirty:", {"dirty"}),
        (b"Dirty: -1 kB", {"dirty"}),
        (b"SReclaimable: \xff kB", {"sreclaimable", "cached"}),
        (b"MemAvailable: 1_0 kB", {"available", "used", "used_percent", "available_percent"}),
        (b"nonsense", set()),
        (b"0 kB", set()),
    ],
)
def test_a_broken_line_of_meminfo_costs_the_fields_that_need_it(line: bytes, missing: set[str]) -> None:
    whole = memory.memory(memory.parse_meminfo(MEMINFO + SWAPINFO, refuse), refuse)
    name = line.partition(b":")[0] + b":"
    kept = [each for each in (MEMINFO + SWAPINFO).splitlines() if not each.startswith(name)]
    said: list[str] = []
    found = memory.parse_meminfo(b"\n".join([*kept, line, b""]), said.append)
    assert said == [f"/proc/meminfo has {line!r} where a name and a number were expected"]
    assert whole.keys() - memory.memory(found, said.append).keys() == missing


def test_a_number_that_touches_its_name_is_read() -> None:
    assert memory.parse_meminfo(b"DirectMap2M:12345678 kB\n", refuse) == {b"DirectMap2M:": 12345678}


def test_nuls_and_empty_lines_at_the_end_of_meminfo_are_no_lines() -> None:
    assert memory.parse_meminfo(MEMINFO + b"\n\0\0\0\0\n\0", refuse) == memory.parse_meminfo(MEMINFO, refuse)


def test_a_kernel_that_does_not_estimate_the_available_memory_has_the_rest() -> None:
    said: list[str] = []
    content = MEMINFO.replace(b"MemAvailable: 600 kB\n", b"")
    fields = memory.memory(memory.parse_meminfo(content, refuse), said.append)
    assert (fields["total"], fields["free"]) == (1000 * 1024, 300 * 1024)
    assert not fields.keys() & {"available", "used", "used_percent", "available_percent"}
    assert said == ["/proc/meminfo does not say how much memory is available"]


def test_more_memory_available_than_there_is_is_refused() -> None:
    said: list[str] = []
    content = MEMINFO.replace(b"600", b"1600")
    fields = memory.memory(memory.parse_meminfo(content, refuse), said.append)
    assert not fields.keys() & {"available", "used", "used_percent", "available_percent"}
    assert len(said) == 1


PAGES = b"nr_free_pages 1\npswpin 2\npswpout 3\n"


def test_swap_moves_in_pages_of_the_machine() -> None:
    small, large = (memory.traffic(PAGES, size, refuse) for size in (4096, 16384))
    assert (small["in"], small["out"], large["in"]) == (8192, 12288, 32768)
    fields = memory.swap(memory.parse_meminfo(MEMINFO + SWAPINFO, refuse), refuse)
    assert (fields["used"], fields["used_percent"]) == (300 * 1024, 75)


def test_no_swap_space_is_none_used() -> None:
    found = memory.parse_meminfo(MEMINFO + b"SwapTotal: 0 kB\nSwapFree: 0 kB\n", refuse)
    assert memory.swap(found, refuse) == {"total": 0, "used": 0, "free": 0, "used_percent": 0.0}
    assert memory.traffic(b"", 4096, refuse) == {"in": 0, "out": 0}


@pytest.mark.parametrize(
    ("info", "fields"),
    [
        (b"SwapTotal: 400 kB\n", {"total": 400 * 1024}),
        (b"SwapTotal: 400 kB\nSwapFree: 500 kB\n", {"total": 400 * 1024}),  # as containers report it
        (b"SwapFree: 100 kB\n", {"free": 100 * 1024}),
    ],
)
def test_swap_space_that_is_not_known_costs_its_own_fields(info: bytes, fields: dict[str, int]) -> None:
    said: list[str] = []
    assert memory.swap(memory.parse_meminfo(MEMINFO + info, refuse), said.append) == fields
    assert len(said) == 1


def test_a_counter_of_vmstat_without_a_number_costs_itself() -> None:
    said: list[str] = []
    assert memory.traffic(b"x 1\npswpin ?\npswpout 3\n", 4096, said.append) == {"out": 12288}
    assert said == ["/proc/vmstat has no number after pswpin"]


DISKSTATS = b" 179 0 mmcblk0 100 5 2000 50 40 2 800 70 1 90 120 0 0 0 0 0 0\n"


def test_sectors_become_bytes_and_devices_never_used_are_left_out() -> None:
    found = diskio.parse_diskstats(b"   1 0 ram0 0 0 0 0 0 0 0 0 0 0 0\n" + DISKSTATS, refuse)
    assert list(found) == ["mmcblk0"]
    assert found["mmcblk0"] == {
        "reads": 100,
        "merged_reads": 5,
        "read_bytes": 2000 * 512,
        "read_time": 50,
        "writes": 40,
        "merged_writes": 2,
        "write_bytes": 800 * 512,
        "write_time": 70,
        "iops_in_progress": 1,
        "io_time": 90,
        "weighted_io_time": 120,
    }


@pytest.mark.parametrize(
    "line", [b"179 0 sda 1 2 3", b"179 0 sda 7 7 7 7", b"179 0 sda a b c d e f g h i j k", b"179 0 sda", b"nonsense"]
)
def test_a_diskstats_line_that_is_none_is_counted_and_the_others_are_read(line: bytes) -> None:
    said: list[str] = []
    assert list(diskio.parse_diskstats(line + b"\n" + DISKSTATS, said.append)) == ["mmcblk0"]
    assert said == [f"/proc/diskstats has {line!r} where counters were expected"]


@pytest.mark.parametrize("more", [b"", b" 0 0 0 0", b" 0 0 0 0 0 0"])
def test_a_device_counts_as_used_from_its_first_read_whatever_the_kernel_counts_besides(more: bytes) -> None:
    # Kernels before 4.18, from then on with discards, and from 5.5 on with flushes.
    read = b"8 0 sda 12 0 96 3 0 0 0 0 0 0 0" + more + b"\n"
    unused = b"7 0 loop0 0 0 0 0 0 0 0 0 0 0 0" + more + b"\n"
    found = diskio.parse_diskstats(unused + read, refuse)
    assert {name: counters["read_bytes"] for name, counters in found.items()} == {"sda": 49152}


def test_a_device_that_has_only_discarded_is_left_out() -> None:
    assert diskio.parse_diskstats(b"8 0 sda 0 0 0 0 0 0 0 0 0 0 0 5 0 40 1 0 0\n", refuse) == {}


def test_a_negative_number_of_requests_costs_itself() -> None:
    said: list[str] = []
    counters = diskio.parse_diskstats(DISKSTATS.replace(b" 70 1 ", b" 70 -1 "), said.append)["mmcblk0"]
    assert "iops_in_progress" not in counters
    assert counters["reads"] == 100
    assert len(said) == 1


def test_activity_is_that_between_two_samples() -> None:
    before = diskio.parse_diskstats(DISKSTATS, refuse)["mmcblk0"]
    after = {**before, "reads": 102, "writes": 42, "read_time": 60, "write_time": 80, "io_time": 140}
    assert diskio.activity(before, after, 2.0) == {"io_await": 5, "io_svctm": 12.5, "io_util": 2.5}
    assert diskio.activity(before, before, 2.0) == {"io_util": 0}


def test_counters_that_go_back_have_no_activity() -> None:
    before = diskio.parse_diskstats(DISKSTATS, refuse)["mmcblk0"]
    assert diskio.activity(before, {**before, "reads": 1}, 2.0) == {}


def test_a_disk_that_returns_restarts_its_counters_with_its_identifier(tmp_path: Path) -> None:
    clock = iter(range(10))
    (tmp_path / "block/sda").mkdir(parents=True)
    wwid = tmp_path / "block/sda/wwid"
    part = diskio.DiskIo(str(tmp_path), str(tmp_path), lambda: next(clock), refuse)
    line = "8 0 sda 100 5 2000 50 40 2 800 70 1 90 120\n"
    found = []
    for identifier, text in (("one\n", line), ("one\n", line), ("two\n", ""), ("two\n", line)):
        wwid.write_text(identifier)
        (tmp_path / "diskstats").write_text(text)
        found.append([(metric.series.tags["wwid"], "io_util" in metric.fields) for metric in part.read(0)])
    assert found == [[("one", False)], [("one", True)], [], [("two", False)]]


def test_a_stick_that_was_swapped_for_another_between_two_batches_has_its_own_identifier(tmp_path: Path) -> None:
    clock = iter(range(10))
    (tmp_path / "block/sda").mkdir(parents=True)
    part = diskio.DiskIo(str(tmp_path), str(tmp_path), lambda: next(clock), refuse)
    found = []
    for identifier, reads in (("usb.first", 900), ("usb.first", 950), ("usb.second", 2000), ("usb.second", 2001)):
        (tmp_path / "block/sda/wwid").write_text(f"{identifier}\n")
        (tmp_path / "diskstats").write_text(f"8 0 sda {reads} 5 2000 50 40 2 800 70 1 90 120\n")
        found += [(metric.series.tags["wwid"], "io_util" in metric.fields) for metric in part.read(0)]
    assert found == [("usb.first", False), ("usb.first", True), ("usb.second", False), ("usb.second", True)]


def test_an_identifier_that_cannot_be_read_costs_the_tag_alone(tmp_path: Path) -> None:
    (tmp_path / "block/sda/wwid").mkdir(parents=True)  # read(2) fails, as it does for some bridges
    (tmp_path / "diskstats").write_text("8 0 sda 1 0 0 0 0 0 0 0 0 0 0\n8 1 sda1 1 0 0 0 0 0 0 0 0 0 0\n")
    part = diskio.DiskIo(str(tmp_path), str(tmp_path), lambda: 0.0, refuse)
    for _ in range(2):
        assert [dict(metric.series.tags) for metric in part.read(0)] == [{"name": "sda"}, {"name": "sda1"}]


HEAD = b"Inter-| Receive\n face |bytes\n"


def test_interfaces_may_have_a_colon_in_their_name() -> None:
    found = network.parse_interfaces(HEAD + b"eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", refuse)
    assert found["eth0:1"] == {
        "bytes_recv": 1,
        "packets_recv": 2,
        "err_in": 3,
        "drop_in": 4,
        "bytes_sent": 9,
        "packets_sent": 10,
        "err_out": 11,
        "drop_out": 12,
    }


def test_an_empty_list_of_interfaces_is_counted() -> None:
    said: list[str] = []
    assert network.parse_interfaces(b"", said.append) == {}
    assert network.parse_interfaces(HEAD, said.append) == {}
    assert said == ["/proc/net/dev is empty"]


@pytest.mark.parametrize("name", ["wl|an", "en\N{LATIN SMALL LETTER U WITH DIAERESIS}", "a\udcffb", "veth0@if7"])
def test_an_interface_can_have_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/dev").write_bytes(HEAD + os.fsencode(name) + b":" + COUNTERS)
    (tmp_path / "class/net" / name).mkdir(parents=True)
    (tmp_path / "class/net" / name / "flags").write_text("0x1003")
    (metric,) = network.Net(str(tmp_path), str(tmp_path), refuse).read(0)
    assert metric.series.tags["interface"] == name.replace("\udcff", "\N{REPLACEMENT CHARACTER}")


COUNTERS = b" 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"


@pytest.mark.parametrize("line", [b"eth1: 1 2 3", b"nonsense", b"eth1: a b c d e f g h i j k l m", b": 1" + b" 2" * 15])
def test_an_interface_without_its_counters_is_counted_and_the_others_are_read(line: bytes) -> None:
    said: list[str] = []
    found = network.parse_interfaces(HEAD + line + b"\neth0:" + COUNTERS, said.append)
    assert list(found) == ["eth0"]
    assert said == [f"/proc/net/dev has {line!r} where counters were expected"]


def test_an_interface_whose_flags_are_not_known_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/dev").write_bytes(HEAD + b"a:" + COUNTERS + b"b:" + COUNTERS + b"c:" + COUNTERS)
    (tmp_path / "class/net/a/flags").mkdir(parents=True)
    for name, flags in (("b", "odd"), ("c", "0x1003")):
        (tmp_path / "class/net" / name).mkdir(parents=True)
        (tmp_path / "class/net" / name / "flags").write_text(flags)
    said: list[str] = []
    found = network.Net(str(tmp_path), str(tmp_path), said.append).read(0)
    assert [metric.series.tags["interface"] for metric in found] == ["c"]
    assert [line.split(":")[1] for line in said] == [" the flags of a are not known", " the flags of b are not known"]


def test_interfaces_that_are_down_or_gone_or_loopback_are_left_out(tmp_path: Path) -> None:
    counters = b" 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
    (tmp_path / "net").mkdir()
    (tmp_path / "net/dev").write_bytes(HEAD + b"".join(name + b":" + counters for name in (b"a", b"b", b"c", b"d")))
    for name, flags in (("a", "0x1003"), ("b", "0x1002"), ("c", "0x9")):
        (tmp_path / "class/net" / name).mkdir(parents=True)
        (tmp_path / "class/net" / name / "flags").write_text(flags)
    (metric,) = network.Net(str(tmp_path), str(tmp_path), refuse).read(0)
    assert metric.series.tags == {"interface": "a"}
    assert metric.fields["speed"] == -1


def process(pid: int, name: str, state: str, threads: int) -> str:
    return f"{pid} ({name}) {state} 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 9 0 0 18446744073709551615"


def test_processes_are_counted_by_state_whatever_they_call_themselves(tmp_path: Path) -> None:
    states = ["R", "S", "S", "D", "Z", "X", "T", "t", "I", "P", "P", "?"]
    for pid, state in enumerate(states, 1):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(process(pid, f"a) {state} (b", state, 2))
    (tmp_path / "self").mkdir()
    (tmp_path / "99").mkdir()  # it ended before its file was read
    assert processes.count(str(tmp_path), refuse, lambda: None) == {
        "total": 12,
        "total_threads": 24,
        "running": 1,
        "sleeping": 2,
        "blocked": 1,
        "zombies": 1,
        "dead": 1,
        "stopped": 2,
        "idle": 1,
        "parked": 2,
        "unknown": 1,
        "paging": 0,
    }


def test_a_process_without_its_threads_is_counted_and_the_others_too_and_no_file_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for pid, text in ((1, process(1, "init", "S", 1)), (7, "7 (cut) S 1 1"), (8, "broken"), (9, "")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(text)
    said: list[str] = []
    assert processes.count(str(tmp_path), said.append, lambda: None)["total"] == 1
    assert len(said) == 3
    assert all("which has no threads" in line for line in said)
    assert len(os.listdir("/proc/self/fd")) == before


def test_processes_that_are_hidden_are_noted_and_those_of_this_user_are_counted(tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "42").mkdir()
    (tmp_path / "42/stat").write_text(process(42, "mine", "R", 3))
    part = processes.Processes(str(tmp_path), refuse, notes.append)
    for _ in range(2):  # as with hidepid=2, where the list is short
        (metric,) = part.read(0)
        assert (metric.fields["total"], metric.fields["total_threads"]) == (1, 3)
    assert len(notes) == 2
    assert notes[0] == notes[1]
    assert f"only those of this user are counted, since {tmp_path} hides the others" in notes[0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59, " 0:00"), (3_600, " 1:00"), (86_399, "23:59"), (86_400, "1 day,  0:00"), (273_900, "3 days,  4:05")],
)
def test_uptime_is_written_as_the_native_input_writes_it(seconds: int, text: str) -> None:
    assert host.format_uptime(seconds) == text


@pytest.mark.parametrize(("ranges", "number"), [("0", 1), ("0-3", 4), ("0-1,4,6-7", 5)])
def test_ranges_of_processors_are_counted(ranges: str, number: int) -> None:
    assert host.count_cpus(ranges) == number


def sensor(root: Path, number: int, **files: str) -> Path:
    folder = root / f"class/hwmon/hwmon{number}"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def read_temperatures(root: Path) -> tuple[dict[str, object], list[str]]:
    said: list[str] = []
    metrics = temperatures(root, said)
    return {metric.series.tags["sensor"]: metric.fields["temp"] for metric in metrics}, said


def temperatures(root: Path, said: list[str], noted: Callable[[str], None] = pytest.fail) -> list[Metric]:
    part = temperature.Temp(str(root), 10.0, said.append, noted)
    return list(part.metrics({key: answered(read) for key, read in part.reads().items()}, (), 7))


def answered(read: Read) -> Answer:
    try:
        return Answer(read(), 0.0, 0)
    except (OSError, ValueError) as error:
        return Answer(error, 0.0, 0)


def test_sensors_go_by_name_and_label(tmp_path: Path) -> None:
    sensor(tmp_path, 0, name="nvme\n", temp1_input="38850\n", temp1_label="Composite\n", temp1_crit="84850\n")
    sensor(tmp_path, 1, name="coretemp\n", temp2_input="-5000\n", temp2_label="Core 0\n")
    sensor(tmp_path, 2, name="cpu_thermal\n", temp1_input="51000\n", fan1_input="3000\n")
    found, said = read_temperatures(tmp_path)
    assert found == {"nvme_composite": 38.85, "coretemp_core_0": -5.0, "cpu_thermal": 51.0}
    assert said == []


def test_a_sensor_without_a_name_goes_by_its_device_and_old_drivers_are_looked_for_further_down(tmp_path: Path) -> None:
    device = tmp_path / "devices/lm75"
    device.mkdir(parents=True)
    (device / "temp1_input").write_text("20000\n")
    (device / "name").write_text("lm75\n")
    sensor(tmp_path, 0).joinpath("device").symlink_to(device)
    assert read_temperatures(tmp_path) == ({"lm75": 20.0}, [])
    sensor(tmp_path, 1, temp1_input="21000\n").joinpath("device").symlink_to(device)
    assert read_temperatures(tmp_path) == ({"lm75": 21.0}, [])


def test_thermal_zones_are_read_where_no_chip_has_the_temperature(tmp_path: Path) -> None:
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("45000\n")
    assert read_temperatures(tmp_path) == ({"cpu-thermal": 45.0}, [])
    sensor(tmp_path, 1, name="nvme\n", temp1_input="30000\n")
    assert read_temperatures(tmp_path) == ({"nvme": 30.0, "cpu-thermal": 45.0}, [])
    sensor(tmp_path, 0, name="cpu_thermal\n", temp1_input="45500\n")
    assert read_temperatures(tmp_path) == ({"cpu_thermal": 45.5, "nvme": 30.0}, [])


def test_zones_other_than_the_processor_s_are_left_out_if_there_are_chips(tmp_path: Path) -> None:
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("INT3400 Thermal\n")
    (zone / "temp").write_text("20000\n")
    sensor(tmp_path, 0, name="cpu_thermal\n", temp1_input="45500\n")
    assert read_temperatures(tmp_path) == ({"cpu_thermal": 45.5}, [])


def device(root: Path, number: int, name: str, **files: str) -> None:
    folder = root / "devices" / name
    folder.mkdir(parents=True, exist_ok=True)
    (root / f"class/hwmon/hwmon{number}/device").symlink_to(folder)
    for file, text in files.items():
        (folder / file).write_text(text)


def test_two_disks_of_one_kind_are_distinguished_by_their_serial_numbers(tmp_path: Path) -> None:
    for number, serial in ((1, "S4EV1"), (2, "S4EV2")):
        sensor(tmp_path, number, name="nvme\n", temp1_input=f"4{number}850\n", temp1_label="Composite\n")
        device(tmp_path, number, f"nvme{number}", serial=f"{serial}  \n")
    sensor(tmp_path, 3, name="cpu_thermal\n", temp1_input="51000\n")
    found = {tuple(sorted(metric.series.tags.items())): metric.fields["temp"] for metric in temperatures(tmp_path, [])}
    assert found == {
        (("device", "S4EV1"), ("sensor", "nvme_composite")): 41.85,
        (("device", "S4EV2"), ("sensor", "nvme_composite")): 42.85,
        (("sensor", "cpu_thermal"),): 51.0,
    }


@pytest.mark.parametrize("label", ["", "Composite\n"])
def test_disks_with_equal_serial_numbers_are_distinguished_by_their_place_on_the_bus(
    label: str, tmp_path: Path
) -> None:
    for number in (1, 2):
        files = {"name": "nvme\n", "temp1_input": f"4{number}850\n", **({"temp1_label": label} if label else {})}
        sensor(tmp_path, number, **files)
        device(tmp_path, number, f"nvme{number}", serial="AA000000000000000001\n")
        place = tmp_path / f"devices/0000:0{number}:00.0"
        place.mkdir()
        (tmp_path / f"devices/nvme{number}/device").symlink_to(place)
    assert {metric.series.tags["device"]: metric.fields["temp"] for metric in temperatures(tmp_path, [])} == {
        "AA000000000000000001-temp1-0000:01:00.0": 41.85,
        "AA000000000000000001-temp1-0000:02:00.0": 42.85,
    }


@pytest.mark.parametrize(
    ("degrees", "emitted"),
    [
        ((85.0,), ()),
        ((21.5, 85.0, 21.5), (21.5, 21.5)),
        ((80.0, 84.5, 85.0, 85.0, 85.5), (80.0, 84.5, 85.0, 85.0, 85.5)),
    ],
)
def test_the_first_value_of_a_1_wire_sensor_after_a_loss_of_its_supply_is_none(
    degrees: tuple[float, ...], emitted: tuple[float, ...], tmp_path: Path
) -> None:
    folder = sensor(tmp_path, 0, name="w1_slave_temp\n", temp1_input="0\n")
    sensor(tmp_path, 1, name="other\n", temp1_input="85000\n")
    said: list[str] = []
    part = temperature.Temp(str(tmp_path), 10.0, said.append, pytest.fail)
    found = []
    for value in degrees:
        (folder / "temp1_input").write_text(f"{value * 1000:.0f}\n")
        found += list(part.metrics({key: answered(read) for key, read in part.reads().items()}, (), 7))
    tags = {
        name: [m.fields["temp"] for m in found if m.series.tags["sensor"] == name]
        for name in ("w1_slave_temp", "other")
    }
    assert tags == {"w1_slave_temp": list(emitted), "other": [85.0] * len(degrees)}
    assert len(said) == len(degrees) - len(emitted)


def test_a_value_of_a_sensor_with_a_fault_is_none(tmp_path: Path) -> None:
    sensor(tmp_path, 0, name="tmp421\n", temp1_input="21000\n", temp2_input="-64000\n", temp2_fault="1\n")
    sensor(tmp_path, 1, name="max31730\n", temp1_input="22000\n", temp1_fault="0\n")
    assert [metric.fields["temp"] for metric in temperatures(tmp_path, [])] == [21.0, 22.0]


@pytest.mark.parametrize("text", ["-273200\n", "-274000\n", "2147483647\n"])
def test_a_value_below_absolute_zero_is_noted_and_no_error(text: str, tmp_path: Path) -> None:
    sensor(tmp_path, 0, name="acpitz\n", temp1_input=text)
    sensor(tmp_path, 1, name="cpu_thermal\n", temp1_input="51000\n")
    noted: list[str] = []
    (metric,) = temperatures(tmp_path, [], noted.append)
    assert metric.fields["temp"] == 51.0
    assert len(noted) == 1
    assert "hwmon0/temp1_input gives" in noted[0]


def test_twelve_sensors_on_one_wire_are_distinguished_by_their_ids(tmp_path: Path) -> None:
    for number in range(12):
        sensor(tmp_path, number, name="w1_slave_temp\n", temp1_input=f"{number}500\n")
        device(tmp_path, number, f"28-0000000{number:04x}")
    metrics = temperatures(tmp_path, [])
    assert len({metric.series for metric in metrics}) == 12
    assert {metric.series.tags["device"] for metric in metrics} == {f"28-0000000{number:04x}" for number in range(12)}


def test_sensors_of_one_chip_without_labels_are_distinguished_by_their_channels(tmp_path: Path) -> None:
    sensor(tmp_path, 0, name="emc1403\n", temp1_input="1000\n", temp2_input="2000\n", temp10_input="3000\n")
    device(tmp_path, 0, "1-004c")
    found = {metric.series.tags["device"]: metric.fields["temp"] for metric in temperatures(tmp_path, [])}
    assert found == {"1-004c-temp1": 1.0, "1-004c-temp2": 2.0, "1-004c-temp10": 3.0}


def test_sensors_without_a_device_are_distinguished_by_the_kernel_s_numbers(tmp_path: Path) -> None:
    for number in (1, 2):
        sensor(tmp_path, number, name="nvme\n", temp1_input="30000\n")
    assert {metric.series.tags["device"] for metric in temperatures(tmp_path, [])} == {"hwmon1", "hwmon2"}


def test_thermal_zones_of_one_type_are_distinguished(tmp_path: Path) -> None:
    for number in (0, 1):
        zone = tmp_path / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text("acpitz\n")
        (zone / "temp").write_text("45000\n")
    assert {metric.series.tags["device"] for metric in temperatures(tmp_path, [])} == {"thermal_zone0", "thermal_zone1"}


def test_a_sensor_that_is_late_is_counted_with_its_file(tmp_path: Path) -> None:
    sensor(tmp_path, 0, name="a\n", temp1_input="1000\n")
    said: list[str] = []
    part = temperature.Temp(str(tmp_path), 10.0, said.append, pytest.fail)
    assert list(part.metrics({}, list(part.reads()), 7)) == []
    path = tmp_path / "class/hwmon/hwmon0/temp1_input"
    assert said == [f"temp: {path} does not answer, and has no sample in this batch"]


def test_a_slow_reading_has_the_time_at_which_it_came(tmp_path: Path) -> None:
    sensor(tmp_path, 0, name="a\n", temp1_input="1000\n")
    part = temperature.Temp(str(tmp_path), 10.0, refuse, refuse)
    (key,) = part.reads()
    times = [next(iter(part.metrics({key: Answer(1.0, took, 99)}, (), 7))).time_ns for took in (0.01, 0.8)]
    assert times == [7, 99]


def test_a_non_numeric_reading_is_counted_and_is_not_0(tmp_path: Path) -> None:
    sensor(tmp_path, 0, name="a\n", temp1_input="\n")
    folder = sensor(tmp_path, 1, name="b\n", temp2_input="30000\n")
    (folder / "temp1_input").mkdir()
    found, said = read_temperatures(tmp_path)
    assert found == {"b": 30.0}
    assert [line.split(" ", 2)[2] for line in said] == [
        "has b'\\n' where thousandths of a degree were expected",
        "cannot be read: Is a directory",
    ]


def test_no_sensor_at_all_is_no_error(tmp_path: Path) -> None:
    assert read_temperatures(tmp_path) == ({}, [])
