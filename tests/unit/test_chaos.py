"""The pure parts of the fault harness: draws from a seed, the balance of an account, and the table."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.account import Ledger, Row, account, check_of, read_ledger
from tests.chaos.draws import DAMAGES, DISKS, MODES, PROCESSES, draw

_SEEDS = range(200)


def _row(number: int, time_ns: int = 0) -> Row:
    return Row(time_ns or number, number, check_of(number))


def test_a_seed_always_means_the_same_draw() -> None:
    assert [draw(seed) for seed in _SEEDS] == [draw(seed) for seed in _SEEDS]


def test_two_hundred_draws_have_every_process_mode_disk_and_damage() -> None:
    faults = [(each.topology, fault) for each in map(draw, _SEEDS) for fault in each.faults]
    seen = {(topology, fault.kind, fault.target) for topology, fault in faults}
    for topology, names in PROCESSES.items():
        assert {(topology, kind, name) for kind in ("kill", "pause") for name in names} <= seen
        assert {(topology, kind, disk) for kind in ("disk_full", "power_cut") for disk in DISKS[topology]} <= seen
    assert {fault.mode for _, fault in faults if fault.kind == "hub"} == set(MODES)
    assert {fault.target for _, fault in faults if fault.kind == "damage"} == set(DAMAGES)
    assert {fault.target for _, fault in faults if fault.kind == "clock"} == {"collector", "outbox"}


def test_a_third_of_the_draws_has_two_faults() -> None:
    assert sum(len(draw(seed).faults) == 2 for seed in range(150)) == 50


def test_an_account_names_losses_and_counts_duplicates_and_inventions() -> None:
    ledger = Ledger(set(range(10)), set(range(9)))
    rows = [_row(number) for number in range(6)]
    rows += [_row(3, 99), Row(100, 4, 12345), Row(101, 77, check_of(77))]
    found = account("execd", ledger, rows, refused={6})
    assert (found.sent, found.stored, found.refused, found.lost) == (9, 6, 1, (7, 8))
    assert (found.duplicates, found.invented) == (1, 2)


def test_a_sample_whose_sending_a_kill_has_cut_is_neither_lost_nor_invented() -> None:
    ledger = Ledger({0, 1}, {0})
    assert account("execd", ledger, [_row(0)]).lost == ()
    assert account("execd", ledger, [_row(0), _row(1)]).invented == 0


def test_a_refused_sample_that_is_stored_counts_as_stored() -> None:
    found = account("execd", Ledger({0}, {0}), [_row(0)], refused={0})
    assert (found.stored, found.refused) == (1, 0)


def test_a_line_of_the_ledger_that_a_kill_has_cut_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("b 1\nd 1\nb 2\nd")
    assert read_ledger(tmp_path / "ledger") == Ledger({1, 2}, {1})
