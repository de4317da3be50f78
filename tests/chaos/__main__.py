"""``python -m tests.chaos [--draws N] [--seed S]``: run draws on the real engines, and print their findings."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from sensetig import bundle
from sensetig.engines import locate
from tests.chaos import table, week
from tests.chaos.disks import NoImages, check
from tests.chaos.draws import LONG, Draw, draw
from tests.chaos.rig import Programs, programs_of
from tests.chaos.run import Outcome, run


def programs(folder: Path) -> Programs:
    """The engines. Raises SystemExit if one is not there."""
    engines = {name: locate(name) for name in ("telegraf", "influxd")}
    telegraf, influxd = engines["telegraf"], engines["influxd"]
    if telegraf is None or influxd is None:
        sys.exit("Telegraf or InfluxDB is not there: run `make engines` first")
    found = programs_of(telegraf.path, influxd.path, folder)
    if found.nats is None or found.mosquitto is None or found.nginx is None:
        sys.exit("nats-server, mosquitto or nginx is not there: run `make engines`, and install mosquitto and nginx")
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the draws; 1 if one found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--draws", type=int, default=200, help="number of draws [200]")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first; each further one is 1 higher [0]")
    parser.add_argument("--seeds", metavar="N,N,…", help="these seeds instead, such as those to run again")
    parser.add_argument("--at-once", type=int, default=4, help="draws that run at the same time [4]")
    parser.add_argument("--flush", type=float, default=10.0, help="Telegraf's flush interval in seconds [10]")
    parser.add_argument("--topology", choices=("lone", "edge", "hub"), help="skip draws of other topologies")
    parser.add_argument("--long", action="store_true", help="also faults of minutes to half an hour")
    parser.add_argument("--week", type=float, metavar="RATE", help="also an outage of a week at RATE points a second")
    parser.add_argument(
        "--results", type=Path, help="append the outcomes to this file, and make the table of all in it"
    )
    parser.add_argument("--docs", action="store_true", help="write the table into docs/explanation/durability.md")
    options = parser.parse_args(arguments)
    seeds = range(options.seed, options.seed + options.draws)
    draws = [draw(int(seed)) for seed in (options.seeds.split(",") if options.seeds else seeds)]
    if options.long:
        draws += LONG
    if options.topology:
        draws = [each for each in draws if each.topology == options.topology]
    if options.week:
        draws.append(week.DRAW)
    folder = Path(tempfile.mkdtemp(prefix="sensetig-chaos-"))
    images = True
    try:
        check(folder)
    except NoImages as error:
        images = False
        skipped = [each for each in draws if any(fault.kind in ("disk_full", "power_cut") for fault in each.faults)]
        print(f"{len(skipped)} draws with full disks and power cuts are skipped: {error}")
        draws = [each for each in draws if each not in skipped]
    outcomes = _run_all(draws, programs(folder), folder, options, images=images)
    if not any(path.name.startswith("draw-") for path in folder.iterdir()):
        shutil.rmtree(folder)
    everything = table.read(options.results) if options.results else [table.record(each) for each in outcomes]
    print(table.markdown(everything))
    if options.docs:
        table.write(bundle.root() / "docs" / "explanation" / "durability.md", everything)
    return 1 if len(outcomes) < len(draws) or any(each.findings() for each in outcomes) else 0


def _run_all(
    draws: Sequence[Draw], engines: Programs, folder: Path, options: argparse.Namespace, *, images: bool
) -> list[Outcome]:
    outcomes = []
    with ThreadPoolExecutor(options.at_once) as pool:
        jobs = {
            pool.submit(run, each, engines, folder / f"draw-{each.seed}", options.flush, images=images): each
            for each in draws
            if each != week.DRAW
        }
        if options.week:
            jobs[pool.submit(week.run, engines, folder / "draw-week", options.week)] = week.DRAW
        for job in as_completed(jobs):
            each = jobs[job]
            faults = "; ".join(map(str, each.faults))
            clock = time.strftime("%H:%M:%S")
            try:
                outcome = job.result()
            except Exception:  # noqa: BLE001 - one draw that could not run does not end the others
                print(
                    f"{clock} seed {each.seed} {each.topology}: {faults}: NOT RUN\n{traceback.format_exc()}", flush=True
                )
                continue
            outcomes.append(outcome)
            if options.results:
                table.append(options.results, outcome)
            verdict = "; ".join(outcome.findings()) or "ok"
            counts = ", ".join(
                f"{a.source} {a.stored}/{a.sent}" + (f" refused {a.refused}" if a.refused else "")
                for a in outcome.accounts
            )
            print(
                f"{clock} seed {each.seed} {each.topology}: {faults}: {counts}; well after {outcome.well_seconds:.1f} s"
                f"{f'; ended {outcome.ended}' if outcome.ended else ''}: {verdict}"
                f"{f' ({folder}/draw-{each.seed})' if outcome.findings() else ''}",
                flush=True,
            )
    return outcomes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
