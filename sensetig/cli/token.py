"""``sensetig token``: the devices' tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sensetig import options

if TYPE_CHECKING:
    from sensetig.influxdb.credentials import Credentials
    from sensetig.influxdb.server import Server


def influxdb_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The common options of commands that use the operator token of a hub."""
    for option in (options.ca_file, options.tokens, options.organisation, options.influxdb_url):
        function = option(function)
    return function


@contextmanager
def operator(url: str, organisation: str, tokens: Path, ca_file: Path | None) -> Iterator[Server]:
    """A client of InfluxDB with the operator token. Raises SiteError, SetupError and InfluxDBError."""
    from sensetig.errors import SetupError
    from sensetig.influxdb.server import Server
    from sensetig.site import OPERATOR_TOKEN, read_token

    file = tokens / OPERATOR_TOKEN
    secret = read_token(file)
    with Server(url, wait_seconds=10, say=click.echo, ca_file=ca_file) as server:
        if not server.accepts(secret):
            raise SetupError(f"InfluxDB at {server.url} does not accept the operator token in {file}")
        server.sign_in(secret, f"the token in {file}")
        server.enter(organisation)
        yield server


def held(tokens: Path) -> Credentials:
    """Lock the folder of tokens; wait while another process holds the lock. Raises SetupError."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    from sensetig.influxdb.credentials import Credentials, InUse

    retrying = Retrying(
        stop=stop_after_delay(60), wait=wait_fixed(0.2), retry=retry_if_exception_type(InUse), reraise=True
    )
    return retrying(Credentials, tokens)


@click.group()
def command() -> None:
    """List, rotate and revoke device tokens."""


@command.command("list")
@influxdb_options
def list_tokens(url: str, organisation: str, tokens: Path, ca_file: Path | None) -> None:
    """List the devices that have a token, and whether it is valid. Tokens are not shown."""
    from sensetig.security import tokens as trust

    with operator(url, organisation, tokens, ca_file) as server, held(tokens) as credentials:
        shown = trust.show(server, credentials, trust.kept_devices(tokens))
    if not shown:
        click.echo("no device has a token")
    width = max((len(each.device) for each in shown), default=0)
    for each in shown:
        click.echo(f"{each.device:<{width}}  {each.made or '-':<10}  {each.state}")


@command.command()
@click.argument("devices", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All devices that have a token.")
@click.option("--begin", is_flag=True, help="Only make the new token; the old one stays valid.")
@click.option("--finish", is_flag=True, help="Only revoke the old token, after proof of the new one.")
@click.option(
    "--since",
    type=float,
    metavar="SECONDS",
    help="With --finish: when the device restarted with the new token, since 1970, by its clock.",
)
@click.option(
    "--wait", type=float, default=90.0, metavar="SECONDS", show_default=True, show_envvar=True,
    help="How long the first point that is written with the new token may take.",
)  # fmt: skip
@influxdb_options
def rotate(
    devices: tuple[str, ...],
    every: bool,
    begin: bool,
    finish: bool,
    since: float | None,
    wait: float,
    url: str,
    organisation: str,
    tokens: Path,
    ca_file: Path | None,
) -> None:
    """Rotate the tokens of DEVICES without losing a point.

    The device's Telegraf is restarted with the new token; the old one is revoked only when a point measured after that
    has arrived. Other machines than this one are reached with the playbook, where the hub has it
    (enrolment_enabled), and otherwise by `ansible-playbook rotate.yml` where you installed them from.
    """
    from sensetig.security import tokens as trust
    from sensetig.security.hub import Hub
    from sensetig.security.playbook import run

    if every == bool(devices):
        raise click.UsageError("name devices, or say --all")
    if begin and finish:
        raise click.UsageError("--begin and --finish exclude each other: do neither for a whole rotation")
    if finish and since is None:
        raise click.UsageError("--finish needs --since")
    hub = Hub()
    steps = begin or finish
    with operator(url, organisation, tokens, ca_file) as server:
        chosen = trust.kept_devices(tokens) if every else sorted(set(devices))
        here = chosen if steps else [each for each in chosen if each == hub.own_device()]
        for device in here:
            secret = "" if finish else _begin(server, tokens, device)
            if not steps:
                hub.hand_over(secret)
                since = time.time()
            if not begin:
                assert since is not None
                _finish(server, tokens, device, since, wait)
        others = [each for each in chosen if each not in here]
        if others:
            run(hub, "rotate.yml", others)


def _begin(server: Server, tokens: Path, device: str) -> str:
    from sensetig.security import tokens as trust

    with held(tokens) as credentials:
        made = trust.begin(server, credentials, device)
        click.echo(f"{device} has a new token as well as the old one" if made else f"{device} has a new token already")
        return trust.waiting(credentials, device)


def _finish(server: Server, tokens: Path, device: str, since: float, wait: float) -> None:
    from sensetig.security import tokens as trust

    with held(tokens) as credentials:
        if not trust.waiting(credentials, device):
            click.echo(f"{device} has no new token that waits: nothing to change")
            return
    trust.prove(server, device, since=since, wait_seconds=wait)
    with held(tokens) as credentials:
        trust.finish(server, credentials, device)
    click.echo(f"{device} writes with its new token; the old one is revoked")


@command.command()
@click.argument("device")
@influxdb_options
def revoke(device: str, url: str, organisation: str, tokens: Path, ca_file: Path | None) -> None:
    """Revoke DEVICE's token alone; `sensetig revoke` revokes all its credentials."""
    from sensetig.security import tokens as trust

    with operator(url, organisation, tokens, ca_file) as server, held(tokens) as credentials:
        done = trust.revoke(server, credentials, device)
    click.echo(f"the token of {device} is revoked" if done else f"{device} has no token: nothing to change")
