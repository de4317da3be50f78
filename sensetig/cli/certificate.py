"""``sensetig certificate``: this machine's certificate."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click


def _shown() -> Path:
    from sensetig.security.hub import Hub

    return Hub().certificate


@click.group()
def command() -> None:
    """Show, renew and issue certificates."""


_folder = click.option(
    "--authority", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path("/etc/sensetig/authority"),
    show_default=True, show_envvar=True, help="Folder of the authority.",
)  # fmt: skip


@command.command()
@click.argument("name")
@click.option("--permit", "permitted", multiple=True, metavar="NAME",
              help="DNS name or IP address that it can certify; repeatable.")  # fmt: skip
@click.option("--valid", "valid_days", type=click.IntRange(1), default=3650, show_default=True, metavar="DAYS",
              help="How long a new certificate is valid.")  # fmt: skip
@click.option("--renew", "renew_days", type=click.IntRange(0), default=397, show_default=True, metavar="DAYS",
              help="Renew a certificate that expires within this.")  # fmt: skip
@_folder
def authority(name: str, permitted: tuple[str, ...], valid_days: int, renew_days: int, folder: Path) -> None:
    """Create or adapt the authority of hub NAME; its key stays the same, so that issued certificates stay valid."""
    from datetime import UTC, datetime

    from sensetig.security import issuing

    names = issuing.names_of(permitted)
    changed = issuing.establish(folder, name, names, datetime.now(UTC), valid_days, renew_days)
    click.echo(f"the authority in {folder} is written" if changed else f"{folder}: nothing to change")


@command.command()
@click.argument("device")
@click.option("--name", "names", multiple=True, metavar="NAME",
              help="DNS name or IP address of DEVICE for clients; repeatable.")  # fmt: skip
@click.option("--key", type=click.File("rb"), default="-", show_default="standard input",
              help="Public key of DEVICE, in PEM.")  # fmt: skip
@click.option("--valid", "valid_days", type=click.IntRange(1), default=397, show_default=True, metavar="DAYS",
              help="How long a new certificate is valid.")  # fmt: skip
@click.option("--renew", "renew_days", type=click.IntRange(0), default=60, show_default=True, metavar="DAYS",
              help="Renew a certificate that expires within this.")  # fmt: skip
@_folder
def issue(device: str, names: tuple[str, ...], key: BinaryIO, valid_days: int, renew_days: int, folder: Path) -> None:
    """Print a certificate for DEVICE, which hands in its public key.

    The subject, the names and the purposes come from this command, and only the key from the device. A certificate for
    the same key and names that is valid for long enough is printed again.
    """
    from datetime import UTC, datetime

    from sensetig.security import issuing

    text = key.read(issuing.MAX_KEY_BYTES + 1)
    certificate, new = issuing.issue(
        folder, device, text, issuing.names_of(names), now=datetime.now(UTC), valid_days=valid_days,
        renew_days=renew_days,
    )  # fmt: skip
    click.echo(certificate.decode(), nl=False)
    click.echo(f"{device} has a new certificate" if new else f"{device}: nothing to change", err=True)


@command.command()
@click.option(
    "--within", "within_days", type=click.IntRange(0), default=60, show_default=True, show_envvar=True, metavar="DAYS",
    help="Renew only a certificate that expires within this.",
)  # fmt: skip
@click.option(
    "--valid", "valid_days", type=click.IntRange(1), default=397, show_default=True, show_envvar=True, metavar="DAYS",
    help="How long the new one is valid.",
)  # fmt: skip
@click.option(
    "--certificate", type=click.Path(dir_okay=False, path_type=Path), default=Path("/etc/sensetig/tls/device.crt"),
    show_default=True, show_envvar=True, help="The certificate.",
)  # fmt: skip
@_folder
def renew(within_days: int, valid_days: int, certificate: Path, folder: Path) -> None:
    """Renew the hub's certificate if it expires soon, with the same key and names."""
    from datetime import UTC, datetime

    from sensetig.security import certificates, issuing

    end = certificates.renew(certificate, folder, now=datetime.now(UTC), within_days=within_days, valid_days=valid_days)
    if end:
        issuing.keep(folder, certificate)
    said = f"is renewed, and holds until {end:%Y-%m-%d}" if end else "holds, and is left alone"
    click.echo(f"{certificate} {said}")


@command.command()
@click.option(
    "--certificate", type=click.Path(dir_okay=False, path_type=Path), default=_shown,
    show_default="what the services show", show_envvar=True, help="The certificate.",
)  # fmt: skip
def show(certificate: Path) -> None:
    """Show when the certificate expires; the exit status is 3 if that is in less than 30 days."""
    import sys
    from datetime import UTC, datetime, timedelta

    from sensetig.security import certificates

    end = certificates.ends(certificates.read(certificate))
    left = end - datetime.now(UTC)
    click.echo(f"{certificate} holds until {end:%Y-%m-%d}, {max(left.days, 0)} days from now")
    sys.exit(3 if left < timedelta(days=30) else 0)
