"""``sensetig certificate``: this machine's certificate."""

from __future__ import annotations

from pathlib import Path

import click


def _shown() -> Path:
    from sensetig.security.hub import Hub

    return Hub().certificate


@click.group()
def command() -> None:
    """Show or renew this machine's certificate."""


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
@click.option(
    "--authority", type=click.Path(file_okay=False, path_type=Path), default=Path("/etc/sensetig/authority"),
    show_default=True, show_envvar=True, help="Folder of the authority.",
)  # fmt: skip
def renew(within_days: int, valid_days: int, certificate: Path, authority: Path) -> None:
    """Renew the hub's certificate if it expires soon, with the same key and names."""
    from datetime import UTC, datetime

    from sensetig.security import certificates

    end = certificates.renew(
        certificate, authority, now=datetime.now(UTC), within_days=within_days, valid_days=valid_days
    )
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
