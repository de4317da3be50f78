"""``sensetig token``: the devices' tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sensetig.influxdb.credentials import Credentials
    from sensetig.influxdb.server import Server


def influxdb_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that asks a hub's InfluxDB."""
    from sensetig.security.hub import Hub

    for option in (
        click.option("--url", default=Hub().influxdb_url, show_default="as the playbook says", show_envvar=True,
                     help="InfluxDB's address."),
        click.option("--organisation", default="sensetig", show_default=True, show_envvar=True,
                     help="The organisation."),
        click.option("--tokens", type=click.Path(file_okay=False, path_type=Path), default=Hub().tokens,
                     show_default=True, show_envvar=True, help="Folder of the hub's tokens."),
    ):  # fmt: skip
        function = option(function)
    return function


@contextmanager
def operator(url: str, organisation: str, tokens: Path) -> Iterator[Server]:
    """InfluxDB, signed in as operator. Every failure becomes click's."""
    from collectors.core.files import read_token
    from sensetig.influxdb.errors import SetupError
    from sensetig.influxdb.prepare import OPERATOR
    from sensetig.influxdb.server import Server
    from sensetig.security.errors import TrustError

    try:
        secret = read_token(tokens / OPERATOR, "the operator token", error=SetupError)
        with Server(url, wait_seconds=10, say=click.echo) as server:
            if not server.accepts(secret):
                raise SetupError(f"InfluxDB at {url} does not accept the operator token in {tokens}")
            server.sign_in(secret)
            server.enter(organisation)
            yield server
    except (SetupError, TrustError) as error:
        raise click.ClickException(str(error)) from None


def held(tokens: Path) -> Credentials:
    """The folder of tokens, for this process alone; another may take a while to let it go. Raises SetupError."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    from sensetig.influxdb.credentials import Credentials, InUse

    retrying = Retrying(
        stop=stop_after_delay(60), wait=wait_fixed(0.2), retry=retry_if_exception_type(InUse), reraise=True
    )
    return retrying(Credentials, tokens)


@click.group()
def command() -> None:
    """List, rotate and revoke the tokens with which devices write."""


@command.command("list")
@influxdb_options
def list_tokens(url: str, organisation: str, tokens: Path) -> None:
    """Show which devices have a token, and whether it holds. The tokens are not shown."""
    from sensetig.security import tokens as trust

    with operator(url, organisation, tokens) as server, held(tokens) as credentials:
        shown = trust.show(server, credentials, trust.kept_devices(tokens))
    if not shown:
        click.echo("no device has a token")
    width = max((len(each.device) for each in shown), default=0)
    for each in shown:
        click.echo(f"{each.device:<{width}}  {each.made or '-':<10}  {each.state}")


@command.command()
@click.argument("devices", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All devices that have a token.")
@click.option("--begin", is_flag=True, help="Only make the new token, beside the old one, which goes on to hold.")
@click.option("--finish", is_flag=True, help="Only revoke the old token, once the new one is proven to write.")
@click.option(
    "--since",
    type=float,
    metavar="SECONDS",
    help="With --finish: since 1970, by the device's clock, when it was started anew with the new token.",
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
) -> None:
    """Give DEVICES new tokens without losing a point.

    The new token is handed over and the device's Telegraf started anew with it; only when a point measured after that
    has arrived is the old one revoked. Other machines than this one are reached with the playbook, where the hub has it
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
    with operator(url, organisation, tokens) as server:
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
        click.echo(f"{device} has a new token beside the old one" if made else f"{device} has a new token already")
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
def revoke(device: str, url: str, organisation: str, tokens: Path) -> None:
    """Revoke DEVICE's token alone; `sensetig revoke` takes back all that it was trusted with."""
    from sensetig.security import tokens as trust

    with operator(url, organisation, tokens) as server, held(tokens) as credentials:
        done = trust.revoke(server, credentials, device)
    click.echo(f"the token of {device} is revoked" if done else f"{device} has no token: nothing to change")
