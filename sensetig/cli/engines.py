"""``sensetig engines``: Telegraf, InfluxDB, Grafana, NATS and the broker, each from the first suitable source."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sensetig.engines import sources
    from sensetig.engines.catalogue import Need, Spec

Say = Callable[[str], None]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--check", is_flag=True, help="Only look, without network and without a build.")
def command(names: tuple[str, ...], check: bool) -> None:
    """Install the engines, or those that are named.

    The engines are Telegraf, InfluxDB, Grafana, NATS and Mosquitto. Each engine comes from the first source that
    has it: an installed engine (on PATH, or in GRAFANA_HOME), the cache, the vendor's archive, for NATS the
    system's package, a build. The cache is in the user's cache folder; SENSETIG_CACHE names another. If an
    engine is missing, the status is 1, except for Grafana, NATS and the broker: without them everything else works.
    """
    from sensetig.engines import sources

    place = sources.here()
    known = [*place.catalogue.engines, *place.catalogue.brokers]
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no engine {name!r}; there are {', '.join(known)}", param_hint="NAME")
    complete = True
    for name in names or known:
        if name in place.catalogue.brokers:
            _broker(place.catalogue.brokers[name], place, check)
        else:
            complete &= _engine(place.catalogue.engines[name], place, check)
    if not complete:
        sys.exit(1)


def _engine(spec: Spec, place: sources.Place, check: bool) -> bool:
    """Obtain one engine and print its path; False if a required engine is missing."""
    from sensetig.engines import EngineUnavailable, sources

    try:
        if check:
            engine = sources.locate(spec.name, place)
        else:
            with _progress(f"looking for {spec.title}") as say:
                engine = sources.obtain(spec.name, say, place)
    except EngineUnavailable as error:
        click.echo(str(error), err=True)
        return not spec.needed
    if engine is None:
        click.echo(f"{spec.title} is not here; {spec.without}", err=True)
        return not spec.needed
    click.echo(f"{spec.title} {engine.version} from {engine.source}: {engine.path}")
    return True


def _broker(need: Need, place: sources.Place, check: bool) -> None:
    from sensetig.engines import os_packages

    program = os_packages.program(need.program, place.environ)
    if program is None and not check:
        try:
            with _progress(f"looking for {need.title}") as say:
                os_packages.bring(need, say, place.packages)
        except os_packages.PackagesMissing as error:
            click.echo(f"{need.title} is missing: {error}; {need.otherwise}", err=True)
            return
        program = os_packages.program(need.program, place.environ)
    if program is None:
        click.echo(f"{need.title} is not here; {need.otherwise}", err=True)
    else:
        click.echo(f"{need.title} from the operating system: {program}")


@contextmanager
def _progress(beginning: str) -> Iterator[Say]:
    """A function that shows progress: a line with a clock in a terminal, plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield lambda text: click.echo(text, err=True)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(beginning, total=None)
        yield lambda text: progress.update(task, description=text)
