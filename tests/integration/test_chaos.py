"""A few draws of the fault harness; `make chaos` runs the others, on default settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from sensetig import bundle
from tests.chaos import table
from tests.chaos.disks import NoImages, check
from tests.chaos.draws import Draw, Fault
from tests.chaos.relay import Mode
from tests.chaos.rig import programs_of
from tests.chaos.run import Outcome, run

# The draws would slow other tests down, and each waits as long as its engines take.
pytestmark = [pytest.mark.engines, pytest.mark.serial, pytest.mark.timeout(1800)]

#: Telegraf's flush interval in seconds; short, so that the draws are.
_FLUSH = 1.0

_DRAWS = {
    "an outbox that is killed while InfluxDB hangs": Draw(
        1, "edge", (Fault("pause", "influxd", 1, 6), Fault("kill", "outbox", 2, 1))
    ),
    "a hub whose answers are cut off": Draw(2, "edge", (Fault("hub", "relay", 1, 5, Mode("cut_answer", 0)),)),
    "a hub that repeats requests late": Draw(3, "edge", (Fault("hub", "relay", 1, 5, Mode("replay")),)),
    "a hub without the bucket": Draw(4, "edge", (Fault("hub", "relay", 1, 5, Mode("answer", 404, influxdb=True)),)),
    "a hub that asks for patience": Draw(5, "edge", (Fault("hub", "relay", 1, 4, Mode("answer", 429, retry_after=2)),)),
    "a killed InfluxDB": Draw(6, "lone", (Fault("kill", "influxd", 1, 2),)),
    "a killed Telegraf": Draw(7, "lone", (Fault("kill", "telegraf", 2, 1),)),
    "a killed gateway and outbox": Draw(8, "hub", (Fault("kill", "outbox", 2, 1), Fault("kill", "gateway", 2.5, 1))),
    "a power cut of an edge": Draw(
        9, "edge", (Fault("hub", "relay", 1, 6, Mode("refuse")), Fault("power_cut", "edge", 4, 1))
    ),
}


@pytest.fixture(scope="module")
def outcomes(
    telegraf: Path, influxd: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Outcome]]]:
    """The draws, which run three at a time."""
    folder = tmp_path_factory.mktemp("chaos")
    programs = programs_of(telegraf, influxd, folder)
    both = programs.nats is not None and programs.mosquitto is not None
    lacking = {} if both else {"hub": "NATS and Mosquitto are not both there"}
    try:
        check(folder)
        images = True
    except NoImages as error:
        lacking["power_cut"] = str(error)
        images = False
    with ThreadPoolExecutor(3) as pool:
        started: dict[str, Future[Outcome]] = {}
        for name, draw in _DRAWS.items():
            wants = {draw.topology, *(fault.kind for fault in draw.faults)}
            if reasons := [reason for what, reason in lacking.items() if what in wants]:
                started[name] = Future()
                started[name].set_exception(pytest.skip.Exception(reasons[0]))
            else:
                started[name] = pool.submit(run, draw, programs, folder / f"draw-{draw.seed}", _FLUSH, images=images)
        yield started


@pytest.mark.parametrize("name", _DRAWS)
def test_every_sample_is_stored_once_after(outcomes: Mapping[str, Future[Outcome]], name: str) -> None:
    outcome = outcomes[name].result()
    kept = [each for each in outcome.accounts if not outcome.bounds[each.source]]
    assert [(each.source, each.lost) for each in kept if each.lost] == []
    for each in outcome.accounts:
        assert (each.duplicates, each.invented) == (0, 0)
        # A killed Telegraf loses only the last samples before the kill, in one contiguous block.
        assert not each.lost or each.lost[-1] - each.lost[0] < len(each.lost) + 2, each
    assert not outcome.stuck
    assert outcome.alerts == ((), ())


def test_the_page_has_the_table_that_the_command_writes() -> None:
    page = (bundle.root() / "docs" / "explanation" / "durability.md").read_text(encoding="utf-8")
    block = page.partition(table.BEGIN)[2].partition(table.END)[0].strip().splitlines()
    assert block[:2] == table.markdown([]).splitlines()
    for line in block[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == len(table.COLUMNS)
        assert all(cell.isdigit() for cell in cells[1:-1]), line
