"""``sensetig calibrate``: calibrate a sensor against a reference instrument."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sensetig.calibration import CalibrateError
from sensetig.options import FiniteRange, bucket, ca_file, influxdb_url, organisation, recording_form, token_file

if TYPE_CHECKING:
    from rich.console import Console

    from sensetig.calibration.pairs import Pair
    from sensetig.calibration.sources import Influx, Place

#: Default sensor of a Sense HAT for a field of ``environment``, without --sensor.
_SENSORS = {"pressure": "lps25h", "temperature": "hts221", "humidity": "hts221"}

_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


class PairSource(NamedTuple):
    """The source of pairs, from the options."""

    pair: tuple[tuple[float, float], ...]
    pairs: Path | None
    references: Path | None
    readings: str
    columns: str
    time_zone: str
    time_format: str | None
    window: float
    samples: int
    minutes: float
    influx: Callable[[], Influx]


@click.command("calibrate")
@click.argument("device")
@click.option("--measurement", default="environment", show_default=True, help="The measurement of the field.")
@click.option("--field", default="temperature_raw_celsius", show_default=True, help="The field to calibrate.")
@click.option("--sensor", help="The tag `sensor` of its lines, or any; of the Sense HAT it is known.")
@click.option("--pair", type=(float, float), multiple=True, metavar="RAW REFERENCE", help="A pair of readings.")
@click.option("--pairs", type=_file, metavar="FILE", help="A CSV with the columns raw, reference and maybe cpu.")
@click.option("--references", type=_file, metavar="FILE", help="A CSV with the columns time and reference.")
@click.option(
    "--readings",
    default="typed",
    show_default=True,
    metavar="typed|collector|influxdb|FILE",
    help="Source of the sensor's readings; FILE is a Sense HAT recording.",
)
@recording_form
@click.option("--window", type=FiniteRange(0), default=60.0, show_default=True, help="Seconds around a reference.")
@click.option("--samples", type=click.IntRange(1, 600), default=5, show_default=True, help="Readings that make one.")
@click.option("--minutes", type=FiniteRange(0.1, 1440), default=2.0, show_default=True, help="Of InfluxDB's data.")
@click.option(
    "--kind",
    type=click.Choice(("auto", "offset", "gain", "two_point", "polynomial")),
    default="auto",
    show_default=True,
)
@click.option("--degree", type=int, default=2, show_default=True, help="The polynomial's.")
@click.option("--valid-from", metavar="TIME", help="Date or time, UTC where it has no zone. [default: now]")
@click.option("--by", help="Who calibrates. [default: the user]")
@click.option("--reference", help="The reference instrument: maker, model, number.")
@click.option("--comment", default="", help="A sentence that is kept with the entry.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg", help="The report as a file."
)
@click.option("--cpu-heat", is_flag=True, help="Find the factor against the CPU's heat instead.")
@click.option("--write-settings", type=click.Path(dir_okay=False, path_type=Path), help="With --cpu-heat: a new file.")
@click.option("--list", "listed", is_flag=True, help="Show the device's calibrations, and end.")
@click.option("--end", is_flag=True, help="End the field's calibration from --valid-from on.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option(
    "--calibrations",
    envvar="SENSETIG_TELEMETRY_CALIBRATIONS",
    show_envvar=True,
    help="Folder of the calibrations. [default: the collector telemetry's]",
)
@influxdb_url
@organisation
@bucket
@token_file
@ca_file
def command(device: str, **options: Any) -> None:
    """Calibrate a sensor of DEVICE.

    Takes pairs of readings of the sensor and of a reference instrument, finds the curve through them, shows it with
    its residual, its uncertainty and a plot, asks, and adds it to the device's file. Earlier entries stay as
    history. Without options, it asks for the readings.
    """
    _run(device, options)


def _run(device: str, options: dict[str, Any]) -> None:
    from rich.console import Console

    from sensetig.calibration import store
    from sensetig.calibration.sources import Influx, Place
    from sensetig.influxdb.client import Client

    if not device:
        raise CalibrateError("the device has an empty name; give the value of its tag `device`")
    console = Console(markup=False, highlight=False, soft_wrap=False)
    if options["listed"]:
        _list(console, _folder(options["calibrations"]), device)
        return
    place = Place(device, options["measurement"], options["field"], _sensor(options))
    if options["end"]:
        folder = _folder(options["calibrations"])
        if not any(each[1:4] == place[1:] for each in store.history(folder, device)):
            raise CalibrateError(
                f"there is no calibration of {place.field} (sensor {place.sensor or 'any'}) of {device} in {folder}, "
                "so there is none to end"
            )
        _write(console, place, {"kind": "end"}, options)
        return

    def influx() -> Influx:
        client = Client.with_token_file(
            options["url"], options["token_file"], organisation=options["organisation"], ca_file=options["ca_file"]
        )
        return Influx(client, options["bucket"])

    source = PairSource(influx=influx, **{name: options[name] for name in PairSource._fields if name != "influx"})
    pairs = _pairs(console, place, source, with_cpu=options["cpu_heat"])
    if options["cpu_heat"]:
        _heat(console, place, pairs, options)
    else:
        _fit(console, place, pairs, options)


def _folder(given: str | None) -> Path:
    """The folder given by the option, or that in the collector's settings."""
    from collectors import telemetry
    from collectors.core.cli import load_settings
    from collectors.core.settings import SettingsError
    from collectors.telemetry.calibrations import CALIBRATIONS

    try:
        folder = load_settings("telemetry", telemetry.SETTINGS, {CALIBRATIONS.name: given})[CALIBRATIONS]
    except SettingsError as error:
        raise CalibrateError(str(error)) from None
    if not folder:
        raise CalibrateError("the setting calibrations is empty, so nothing is calibrated; name a folder there")
    return Path(folder)


def _sensor(options: dict[str, Any]) -> str | None:
    if options["sensor"] is not None:
        return None if options["sensor"] in ("", "any") else str(options["sensor"])
    if options["measurement"] != "environment":
        return None
    return _SENSORS.get(options["field"].partition("_")[0])


def _list(console: Console, folder: Path, device: str) -> None:
    from sensetig.calibration import show, store

    found = store.history(folder, device)
    if found:
        show.show_history(console, found)
    else:
        console.print(f"{device} has no calibration in {folder}", soft_wrap=True)


def _pairs(console: Console, place: Place, source: PairSource, *, with_cpu: bool) -> list[Pair]:
    """Collect the pairs from the source. Raises CalibrateError if there are none."""
    from sensetig.calibration import sources
    from sensetig.calibration.pairs import Pair, matched, read_pairs, read_references

    if source.pairs is not None or source.pair:
        found = [Pair(*each) for each in source.pair]
        if source.pairs is not None:
            found += read_pairs(sources.text_of(source.pairs, "pairs"), str(source.pairs))
        return found
    if source.references is not None:
        references = read_references(sources.text_of(source.references, "references"), str(source.references))
        if source.readings == "influxdb":
            span = sources.window([each.time_ns for each in references], source.window)
            samples = source.influx().between(place, *span)
        elif source.readings in ("typed", "collector"):
            raise CalibrateError("--references go with readings of the same time: --readings influxdb or a recording")
        else:
            form = sources.form(source.columns, source.time_zone, source.time_format)
            samples = sources.recorded(
                source.readings, place, lambda sentence: click.echo(f"! {sentence}", err=True), form
            )
        found = matched(samples, references, source.window)
        if len(found) < len(references):
            console.print(f"! {len(references) - len(found)} references have no reading within {source.window:g} s")
        if not found:
            raise CalibrateError("no reference has a reading near it; are both clocks in the same zone?")
        return found
    return _asked(console, place, source, with_cpu=with_cpu)


def _asked(console: Console, place: Place, source: PairSource, *, with_cpu: bool) -> list[Pair]:
    """Pairs of typed references and the sensor's readings at that moment."""
    from sensetig.calibration import sources
    from sensetig.calibration.pairs import Pair

    if source.readings == "typed":
        names = ["the sensor's value", *(["the CPU's"] if with_cpu else []), "the reference's"]
        console.print(f"Type {' and '.join(names)}, with a space between, for each moment; an empty line ends.")
        found: list[Pair] = []
        while (numbers := _prompt(f"pair {len(found) + 1}", len(names))) is not None:
            found.append(Pair(numbers[0], numbers[-1], numbers[1] if with_cpu else None))
        return _some(found)
    if source.readings not in ("influxdb", "collector"):
        raise CalibrateError(
            f"--readings {source.readings} is a recording, and needs --references, a CSV with the columns "
            "time and reference"
        )
    console.print("Wait until both have come to rest, and type what the reference shows; an empty line ends.")
    if source.readings == "influxdb":
        influx = source.influx()
        return _beside(console, lambda: influx.last(place, source.minutes))
    with sources.Live(place, source.samples) as live:
        found = _beside(console, live.read)
        if live.simulated:
            console.print("! these readings are simulated; such a calibration is for trying it out")
        return found


def _beside(console: Console, read: Callable[[], Any]) -> list[Pair]:
    from sensetig.calibration.pairs import Pair

    found: list[Pair] = []
    while (numbers := _prompt(f"reference {len(found) + 1}", 1)) is not None:
        sample = read()
        cpu = "" if sample.cpu is None else f", the CPU {sample.cpu:.2f}"
        console.print(f"  the sensor gives {sample.raw:.3f}{cpu}")
        found.append(Pair(sample.raw, numbers[0], sample.cpu))
    return _some(found)


def _some(found: list[Pair]) -> list[Pair]:
    if not found:
        raise CalibrateError("there is no pair of readings, so there is nothing to calibrate with")
    return found


def _prompt(label: str, count: int) -> list[float] | None:
    """Prompt for *count* numbers until the input is valid; None for an empty line."""
    import math

    def numbers(text: str) -> list[float]:
        try:
            found = [float(word) for word in text.replace(";", " ").split()]
        except ValueError:
            found = []
        if len(found) != count or not all(map(math.isfinite, found)):
            raise click.BadParameter(f"expected {count} number{'s' if count > 1 else ''} such as 21.5")
        return found

    answer: list[float] = click.prompt(
        label, default="", show_default=False, value_proc=lambda text: numbers(text) if text.strip() else []
    )
    return answer or None


def _fit(console: Console, place: Place, pairs: list[Pair], options: dict[str, Any]) -> None:
    from sensetig.calibration import fit, show

    kind = fit.choose(pairs, place.field) if options["kind"] == "auto" else options["kind"]
    result = fit.fit(pairs, kind, options["degree"], fit.least_spread(place.field))

    def draw(on: Console) -> None:
        show.show_fit(on, result, place.field)

    draw(console)
    for warning in fit.warnings(result, place.field):
        console.print(f"! {warning}", soft_wrap=True)
    _save_plot(options["plot"], draw, place)
    _write(console, place, fit.keys(result), options)


def _heat(console: Console, place: Place, pairs: list[Pair], options: dict[str, Any]) -> None:
    from sensetig.calibration import heat, show

    found = heat.find_factor(pairs)

    def draw(on: Console) -> None:
        show.show_heat(on, found)

    draw(console)
    for warning in heat.warnings(found):
        console.print(f"! {warning}", soft_wrap=True)
    _save_plot(options["plot"], draw, place)
    text = f"[sensehat]\n{heat.setting(place.sensor or '')} = {found.factor:.4g}\n"
    file: Path | None = options["write_settings"]
    if file is None or options["dry_run"]:
        console.print(f"\nput this into the settings file, and restart Telegraf:\n\n{text}")
        return
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise CalibrateError(f"{file} is there already and is left as it is; put this into it: {text!r}") from None
    except OSError as error:
        raise CalibrateError(f"{file} cannot be written: {error.strerror}") from None
    console.print(f"written to {file}", soft_wrap=True)


def _save_plot(file: Path | None, draw: Callable[[Console], None], place: Place) -> None:
    from sensetig.calibration import show

    if file is None:
        return
    if file.suffix != ".svg":
        raise CalibrateError(f"{file} does not end in .svg, the one kind of picture that is written")
    try:
        file.write_text(show.svg(draw, f"{place.device}: {place.field}"), encoding="utf-8")
    except OSError as error:
        raise CalibrateError(f"{file} cannot be written: {error.strerror}") from None


def _write(console: Console, place: Place, found: dict[str, Any], options: dict[str, Any]) -> None:
    """Ask for missing details, and add the entry after confirmation."""
    from sensetig.calibration import store

    folder = _folder(options["calibrations"])
    silent = options["yes"] or options["dry_run"]
    # Otherwise an entry with a future date would be prompted for, and only then be rejected.
    entry = _entry(place, found, options, reference=options["reference"] or "")
    store.checked(folder, place.device, entry)
    console.print()
    if found["kind"] != "end" and options["reference"] is None and not silent:
        entry = _entry(
            place, found, options, reference=click.prompt("the reference instrument", default="", show_default=False)
        )
    if options["dry_run"]:
        console.print(f"this would be added to {store.path_of(folder, place.device)}:\n", soft_wrap=True)
        console.print(store.spelled(entry), soft_wrap=True)
        return
    path = store.path_of(folder, place.device)
    if not options["yes"] and not click.confirm(f"add this to {path}, from {entry['valid_from']} on?"):
        console.print("nothing was written")
        return
    store.add(folder, place.device, entry)
    console.print(f"written to {path}", soft_wrap=True)


def _entry(place: Place, found: dict[str, Any], options: dict[str, Any], reference: str) -> dict[str, Any]:
    """The entry for the file, without unknown keys."""
    from collectors.telemetry.calibration import CalibrationError, time_ns

    now = datetime.now(UTC).replace(microsecond=0)
    valid_from: Any = now
    if options["valid_from"]:
        try:
            time_ns(options["valid_from"], "--valid-from", "the time")
        except CalibrationError as error:
            raise CalibrateError(str(error)) from None
        valid_from = datetime.fromisoformat(options["valid_from"])
        if valid_from.tzinfo is None:
            valid_from = valid_from.replace(tzinfo=UTC)
    entry: dict[str, Any] = {"measurement": place.measurement, "field": place.field}
    if place.sensor is not None:
        entry["sensor"] = place.sensor
    entry |= {"valid_from": valid_from, **found, "calibrated_at": now}
    entry["by"] = options["by"] or os.environ.get("SUDO_USER") or getpass.getuser()
    return entry | {key: text for key, text in (("reference", reference), ("comment", options["comment"])) if text}
