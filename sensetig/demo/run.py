"""Start the bundle's engines in the demo's state folder, and stop them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from collectors.camera.devices import find_device
from collectors.core.api import Unavailable
from collectors.sensehat import hat
from sensetig import bundle
from sensetig.demo.arrivals import INGEST_PATH
from sensetig.demo.interrupts import Interrupts
from sensetig.demo.state import State, StateError
from sensetig.demo.testbed import grafana, influxdb, ports, processes, telegraf
from sensetig.engines import Engine, EngineUnavailable, obtain
from sensetig.errors import OperatorError
from sensetig.grafana import live
from sensetig.grafana.server import Server
from sensetig.influxdb.prepare import setup

#: The tag that identifies a demo's points, and the bucket that stores them.
SITE = "demo"
BUCKET = "raw"

#: Speed-up of a recording, so that one with a reading every 10 s has a new reading at each interval.
RECORDING_PACE = 5

_MODEL = Path("/proc/device-tree/model")

Say = Callable[[str], None]


class Running(NamedTuple):
    """A running demo."""

    identities: tuple[processes.Identity, ...]
    engines: Mapping[str, Engine]
    started: datetime
    influxdb_url: str
    organisation: str
    bucket: str
    read_token_file: Path
    read_token: str
    grafana_url: str | None


def sources(environ: Mapping[str, str], recording: Path | None, video: Path | None) -> dict[str, str]:
    """The sources of the Sense HAT's and the camera's data, as environment variables of the collectors.

    Precedence: a recording or video given by option, the environment, the hardware of a Pi, simulation. A laptop's
    built-in camera is used only on request.
    """
    chosen: dict[str, str] = {}
    if recording is not None:
        chosen["SENSETIG_SENSEHAT_BACKEND"] = "recording"
        chosen["SENSETIG_SENSEHAT_RECORDING"] = str(recording.resolve())
        if "SENSETIG_SENSEHAT_PACE" not in environ:
            chosen["SENSETIG_SENSEHAT_PACE"] = str(RECORDING_PACE)
    elif "SENSETIG_SENSEHAT_BACKEND" not in environ:
        chosen["SENSETIG_SENSEHAT_BACKEND"] = "hat" if hat.is_present("/sys") else "simulated"
    if video is not None:
        chosen["SENSETIG_CAMERA_BACKEND"] = "opencv"
        chosen["SENSETIG_CAMERA_SOURCE"] = str(video.resolve())
    elif "SENSETIG_CAMERA_BACKEND" not in environ and "SENSETIG_CAMERA_SOURCE" not in environ:
        chosen["SENSETIG_CAMERA_BACKEND"] = "auto" if _is_a_pi() and _has_camera() else "simulated"
    return chosen


def _is_a_pi() -> bool:
    try:
        return "Raspberry Pi" in _MODEL.read_text(errors="replace")
    except FileNotFoundError:
        return False


def _has_camera() -> bool:
    try:
        find_device("/sys")
    except Unavailable:
        return False
    return True


def applicable(collector: str, environment: Mapping[str, str]) -> bool:
    """Whether a collector finds hardware on this machine: without any, it prints nothing and exits with status 0."""
    asked = subprocess.run(
        [sys.executable, "-m", "collectors", collector, "--execd"],
        input=b"\n",
        capture_output=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )
    return bool(asked.returncode or asked.stdout)


def up(state: State, environment: Mapping[str, str], interrupts: Interrupts, say: Say) -> Running:
    """Start everything; if a part fails, stop it again.

    Args:
        state: the state folder, locked by the caller.
        environment: variables for the collectors.
        interrupts: deferred while an engine is started and not yet recorded.
        say: receives progress, a sentence at a time.

    Raises:
        EngineUnavailable: Telegraf or InfluxDB cannot be obtained.
        EngineFailed: Telegraf or InfluxDB ended, or was not ready in time.
        StateError: the state folder is full or damaged.
        SetupError, InfluxDBError: InfluxDB could not be prepared.
    """
    files = bundle.root()
    engines = {name: obtain(name, say) for name in ("influxd", "telegraf")}
    try:
        engines["grafana"] = obtain("grafana", say)
    except EngineUnavailable as error:
        say(str(error))
    kept = state.running()
    if kept:
        say("stopping the engines that an earlier run has left")
        processes.stop(kept)
    started = datetime.now(UTC)
    identities: list[processes.Identity] = []

    def remember(identity: processes.Identity) -> None:
        identities.append(identity)
        state.remember(_to_stop(identities))
        interrupts.release()

    try:
        say("starting InfluxDB")
        port = _port(8086, say)
        interrupts.hold()
        _, url = influxdb.start(engines["influxd"].path, state.influxdb, port, state.log("influxdb"), remember)
        outcome = setup(
            url,
            organisation="sensetig",
            user="sensetig",
            tokens=state.tokens,
            definitions=files / "influxdb",
            say=say,
        )
        say("starting Telegraf with the collectors")
        state.tags.write_text(f'[global_tags]\n  {INGEST_PATH} = "telegraf"\n')
        (state.telemetry / "calibrations").mkdir(parents=True, exist_ok=True, mode=0o700)
        added, shown_by = [state.tags, files / "telegraf" / "hub" / "health.conf"], {}
        if "grafana" in engines:
            # Telegraf reads the token at each write, so it can start first, with a placeholder.
            grafana_port = _port(3000, say)
            live.reserve(state.live)
            added.append(files / "telegraf" / "hub" / "live.conf")
            shown_by = {
                "SENSETIG_GRAFANA_URL": f"http://{ports.LOOPBACK}:{grafana_port}",
                "SENSETIG_LIVE_TOKENS": str(state.live),
                "SENSETIG_LIVE_RETRY": "5s",
            }
        interrupts.hold()
        identity = telegraf.start(
            engines["telegraf"].path,
            files,
            {
                "SENSETIG_SITE": SITE,
                "SENSETIG_INFLUXDB_URL": url,
                "SENSETIG_ORGANISATION": outcome.organisation,
                "SENSETIG_BUCKET": BUCKET,
                "SENSETIG_TELEGRAF_TOKEN": outcome.tokens.telegraf,
                "SENSETIG_READ_TOKEN_FILE": str(outcome.folder / "grafana.token"),
                "SENSETIG_HEALTH_INTERVAL": "5s",
                "SENSETIG_INTERVAL": "2s",
                "SENSETIG_FLUSH_INTERVAL": "1s",
                "SENSETIG_TELEMETRY_STATE": str(state.telemetry / "device-state.db"),
                "SENSETIG_TELEMETRY_STATE_SECONDS": "2",
                "SENSETIG_TELEMETRY_CALIBRATIONS": str(state.telemetry / "calibrations"),
                **shown_by,
                **environment,
            },
            state.log("telegraf"),
            added=added,
        )
        remember(identity)
        grafana_url = None
        if "grafana" in engines:
            say("starting Grafana")
            variables = {
                "SENSETIG_INFLUXDB_URL": url,
                "SENSETIG_ORGANISATION": outcome.organisation,
                "SENSETIG_GRAFANA_TOKEN": outcome.tokens.grafana,
                "GF_SECURITY_SECRET_KEY": state.secret("grafana"),
            }
            interrupts.hold()
            try:
                home, log = engines["grafana"].path, state.log("grafana")
                password = state.secret("grafana-admin")
                _, grafana_url = grafana.start(
                    home, files, state.grafana, grafana_port, variables, log, remember, password
                )
                live.prepare(Server(grafana_url, grafana.ADMINISTRATOR, password), state.live, say)
            except processes.EngineFailed as error:
                say(f"going on without the dashboards: {error}")
            except OperatorError as error:
                say(f"going on without live panels: {error}")
    except OSError as error:
        _give_up(state, identities, interrupts)
        raise StateError(f"the state folder {state.folder} cannot be used: {error}") from None
    except BaseException:
        _give_up(state, identities, interrupts)
        raise
    return Running(
        _to_stop([identity for identity in identities if identity.process()]),
        engines,
        started,
        url,
        outcome.organisation,
        BUCKET,
        outcome.folder / "grafana.token",
        outcome.tokens.grafana,
        grafana_url,
    )


def _to_stop(identities: Iterable[processes.Identity]) -> tuple[processes.Identity, ...]:
    """Stop Telegraf before the others, so that its last points still reach InfluxDB."""
    return tuple(sorted(identities, key=lambda identity: identity.name != "Telegraf"))


def _give_up(state: State, identities: Iterable[processes.Identity], interrupts: Interrupts) -> None:
    interrupts.ignore()
    down(state, _to_stop(identities))


def down(state: State, identities: Iterable[processes.Identity]) -> None:
    """Stop the engines of a demo, in this order."""
    processes.stop(list(identities))
    state.forget()


def _port(preferred: int, say: Say) -> int:
    port, sentence = ports.choose(preferred)
    if sentence:
        say(sentence)
    return port
