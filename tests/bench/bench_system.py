"""The cost of the collector ``system``, compared with Telegraf's own inputs for the same measurements."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from sensetig.engines import locate
from tests.bench.measure import (
    BenchUnavailable,
    Execd,
    Result,
    environment,
    paired,
    private_bytes,
    pss_bytes,
    python,
    tree_cpu,
)

#: How long each Telegraf is watched, how often each, and how long it has to start before that.
SECONDS = 30
ROUNDS = 2
WARM_SECONDS = 5

ROOT = Path(__file__).resolve().parents[2]

#: Both gather every second and discard the metrics: only gathering is compared.
_AGENT = """
[agent]
  interval = "1s"
  flush_interval = "10s"
  quiet = true
  precision = "1ns"
  skip_processors_after_aggregators = true
[[outputs.discard]]
"""


def run() -> list[Result]:
    """Telegraf with the collector against Telegraf with its own inputs, and the collector's memory."""
    engine = locate("telegraf")
    if engine is None:
        raise BenchUnavailable("there is no Telegraf; run `make engines` first")
    program = str(engine.path)
    with tempfile.TemporaryDirectory() as folder:
        agent = Path(folder, "agent.conf")
        agent.write_text(_AGENT, encoding="utf-8")

        def share(snippet: str) -> float:
            return percent_of_a_core([program, "--config", str(agent), "--config", str(ROOT / "telegraf" / snippet)])

        pair = paired(lambda: share("telegraf.d/system.conf"), lambda: share("alternatives/system-native.conf"), ROUNDS)
    with Execd("system") as collector:
        for _ in range(20):
            collector.ask()
        pid = collector.process.pid
        memory, private = pss_bytes(pid) / 1e6, private_bytes(pid) / 1e6
    return [
        Result("Telegraf with its native inputs, each second", pair.second, "% of a core"),
        Result("Telegraf with system --execd, each second", pair.first, "% of a core"),
        Result("system --execd to native inputs", pair.ratio, "x", 1.0),
        Result("system --execd, PSS after 20 batches", memory, "MB", 14),
        Result("of that its own alone", private, "MB"),
    ]


def percent_of_a_core(telegraf: list[str]) -> float:
    """What Telegraf and its collectors take of one core once they are up."""
    process = subprocess.Popen(
        telegraf,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(SENSETIG_PYTHON=python()[0], SENSETIG_INTERVAL="1s"),
    )
    try:
        time.sleep(WARM_SECONDS)
        start, before = time.monotonic(), tree_cpu(process.pid)
        time.sleep(SECONDS)
        if process.poll() is not None:
            raise BenchUnavailable(f"{' '.join(telegraf)} ended with status {process.returncode}")
        return 100 * (tree_cpu(process.pid) - before) / (time.monotonic() - start)
    finally:
        process.terminate()
        process.wait()
