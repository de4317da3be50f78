"""The cost of ``sensehat --execd`` beyond its minimum: the library, or bare Python and the runner.

The compared processes run at the same time and share their common pages equally, so that the difference of their
proportional memory is due to the collector.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.measure import BenchUnavailable, Execd, Result, child_cpu, environment, paired, pss_bytes, python

MEGABYTE = 1_000_000

ROUNDS = 7
BATCHES = 50

#: Performs the given imports, reports it, and waits for the end of its input.
HOLD = "import sys; {imports}; print(flush=True); sys.stdin.read()"

RUNNER = "import collectors.__main__, collectors.core.line_protocol, collectors.core.schema, collectors.core.settings"

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "SENSETIG_SETTINGS": os.devnull}


@contextmanager
def _holding(imports: str) -> Iterator[int]:
    """A Python that has imported this and no more; its process number."""
    process = subprocess.Popen(
        python("-c", HOLD.format(imports=imports)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(**_ONE_THREAD),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise BenchUnavailable(f"Python could not do: {imports}")
        yield process.pid
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@contextmanager
def _emulator() -> Iterator[None]:
    """The library's own servers, so that there is a board to read."""
    from sense_emu.humidity import HumidityServer
    from sense_emu.imu import IMUServer
    from sense_emu.lock import EmulatorLock
    from sense_emu.pressure import PressureServer

    if EmulatorLock("bench").wait(0):
        raise BenchUnavailable("a Sense HAT emulator is running already")
    servers = (HumidityServer(), PressureServer(), IMUServer())
    with EmulatorLock("bench"):
        try:
            yield
        finally:
            for server in servers:
                server.close()
            for name in ("humidity", "pressure", "imu", "screen"):
                path = f"/dev/shm/rpi-sense-emu-{name}"  # noqa: S108 - where the library has its files
                if os.path.exists(path):
                    os.unlink(path)


def _beyond(imports: str, **settings: str) -> tuple[float, float]:
    """Megabytes of the collector after some batches, and how many of them are beyond the imports; medians."""
    totals: list[float] = []
    extras: list[float] = []
    for _ in range(ROUNDS):
        with _holding(imports) as baseline, Execd("sensehat", env=environment(**_ONE_THREAD, **settings)) as collector:
            for _ in range(BATCHES):
                collector.ask()
            total, base = pss_bytes(collector.process.pid), pss_bytes(baseline)
            totals.append(total / MEGABYTE)
            extras.append((total - base) / MEGABYTE)
    return statistics.median(totals), statistics.median(extras)


def _recording(folder: str) -> str:
    """A recording of half a day, from the simulated room."""
    from collectors.sensehat.simulated import read_sensors

    path = os.path.join(folder, "simulated.csv")
    with open(path, "w", encoding="utf-8") as file:
        file.write("temp_cpu,temp_h,temp_p,humidity,pressure,time_stamp\n")
        for number in range(4000):
            seconds = number * 10
            reading = read_sensors(1, (1_781_481_600 + seconds) * 10**9)
            stamp = f"2026-06-15 {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
            file.write(
                f"{reading.temperature_cpu},{reading.temperature_humidity},{reading.temperature_pressure},"
                f"{reading.humidity},{reading.pressure},{stamp}\n"
            )
    return path


def run() -> list[Result]:
    """Memory of each backend that runs here, and the CPU that a simulated batch takes to be had one-shot."""
    results: list[Result] = []
    total, extra = _beyond(RUNNER, SENSETIG_SENSEHAT_BACKEND="simulated")
    results.append(Result("sensehat --execd, simulated", total, "MB PSS"))
    results.append(Result("  beyond bare Python and the runner", extra, "MB PSS", 4))
    with tempfile.TemporaryDirectory() as folder:
        recording = {
            "SENSETIG_SENSEHAT_BACKEND": "recording",
            "SENSETIG_SENSEHAT_RECORDING": _recording(folder),
            "SENSETIG_SENSEHAT_PACE": "0",
        }
        total, extra = _beyond(RUNNER, **recording)
    results.append(Result("sensehat --execd, recording", total, "MB PSS"))
    results.append(Result("  beyond bare Python and the runner", extra, "MB PSS", 4))
    if importlib.util.find_spec("sense_emu") is not None:
        with _emulator():
            total, extra = _beyond("import sense_emu", SENSETIG_SENSEHAT_BACKEND="emulator")
        results.append(Result("sensehat --execd, emulator", total, "MB PSS"))
        results.append(Result("  beyond import sense_emu", extra, "MB PSS", 4))

    simulated = environment(SENSETIG_SENSEHAT_BACKEND="simulated", **_ONE_THREAD)
    pair = paired(
        lambda: child_cpu(python("-m", "collectors", "sensehat"), env=simulated),
        lambda: child_cpu(python("-c", RUNNER), env=simulated),
        ROUNDS,
    )
    results.append(Result("one-shot sensehat, simulated", pair.first * 1000, "ms CPU"))
    results.append(Result("  to importing the runner", pair.ratio, "x"))
    return results
