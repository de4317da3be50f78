"""``sensetig enrol``: enrol new Pis without manual steps."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sensetig.options import Duration


@click.group()
def command() -> None:
    """Enrol new Pis at their first boot."""


@command.command()
@click.argument("device")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, show_envvar=True,
              help="Folder for the files, for the boot partition of DEVICE's card.")  # fmt: skip
@click.option("--valid", type=Duration(), default="2d", show_default=True, show_envvar=True,
              help="How long DEVICE may take to come.")  # fmt: skip
def create(device: str, out: Path, valid: float) -> None:
    """Create the first-boot files for DEVICE, on the hub, as root.

    user-data is for images with cloud-init (Raspberry Pi OS trixie), firstrun.sh for those before it. They hold a token
    that is valid once, for one machine; it replaces the token of an earlier file for the same DEVICE.
    """
    import os

    from sensetig.security import enrolment, first_boot
    from sensetig.security.hub import Hub

    hub = Hub()
    try:
        url, authority, key = hub.enrolment_url(), hub.public("authority"), hub.public("key")
        token = enrolment.create(hub, device, time.time(), valid)
        first = first_boot.FirstBoot(device, url, token, authority, key)
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in (("user-data", first_boot.user_data(first)), ("firstrun.sh", first_boot.script(first))):
            (out / name).unlink(missing_ok=True)
            descriptor = os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise click.ClickException(f"the files cannot be written to {out}: {error.strerror}") from None
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + valid))
    click.echo(f"{out} has user-data and firstrun.sh, which let {device} in once, until {until}")


@command.command()
@click.option("--host", default="127.0.0.1", show_default=True, show_envvar=True, help="Address to listen on.")
@click.option("--port", type=int, default=8087, show_default=True, show_envvar=True, help="Port to listen on.")
@click.option("--certificate", type=click.Path(dir_okay=False, path_type=Path), show_envvar=True,
              help="Its certificate, in PEM.")  # fmt: skip
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), show_envvar=True,
              help="Its key, in PEM.")  # fmt: skip
@click.option("--socket", type=click.Path(path_type=Path), show_envvar=True,
              help="Socket for a proxy, which has the certificate, instead of a port.")  # fmt: skip
def serve(host: str, port: int, certificate: Path | None, key: Path | None, socket: Path | None) -> None:
    """Answer Pis that enrol, over HTTPS; systemd runs this on the hub."""
    import uvicorn

    from sensetig.security.hub import Hub
    from sensetig.security.service import application

    if socket is None and (certificate is None or key is None):
        raise click.UsageError("--certificate and --key are needed, or --socket")
    hub = Hub()
    # A proxy adds the origin of a request, and forwards it only when it is complete.
    behind = socket is not None
    uvicorn.run(
        application(hub.pending, hub.accepted, click.echo), host=host, port=port, uds=str(socket) if behind else None,
        ssl_certfile=None if behind else certificate, ssl_keyfile=None if behind else str(key), http="h11", ws="none",
        lifespan="off", access_log=False, server_header=False, proxy_headers=behind,
        forwarded_allow_ips="*" if behind else None, limit_concurrency=32, timeout_keep_alive=5,
        h11_max_incomplete_event_size=16384, log_level="warning",
    )  # fmt: skip


@command.command()
def admit() -> None:
    """Add accepted Pis to the hub's inventory and run the playbook for them; systemd runs this on the hub."""
    from sensetig.errors import SecurityError
    from sensetig.security import enrolment
    from sensetig.security.hub import Hub
    from sensetig.security.playbook import run

    hub = Hub()
    taken, refused = enrolment.admit(hub, time.time())
    for sentence in refused:
        click.echo(sentence, err=True)
    for device in taken:
        click.echo(f"{device} is in the inventory")
    failed = []
    for device in [name for name, each in enrolment.enrolled(hub).items() if not each["installed"]]:
        try:
            run(hub, "site.yml", [device])
            enrolment.installed(hub, device)
            click.echo(f"{device} is installed")
        except SecurityError as error:
            failed.append(str(error))
    if failed:
        raise click.ClickException("; ".join(failed))


@command.command()
def renew() -> None:
    """Renew the certificates of enrolled Pis that expire soon; systemd runs this on the hub."""
    _play("--tags", "certificates")


@command.command()
def upgrade() -> None:
    """Upgrade enrolled Pis to the hub's version and settings."""
    _play()


def _play(*options: str) -> None:
    """Run the playbook for all enrolled devices."""
    from sensetig.security import enrolment
    from sensetig.security.hub import Hub
    from sensetig.security.playbook import run

    hub = Hub()
    devices = [name for name, each in enrolment.enrolled(hub).items() if each["installed"]]
    if not devices:
        click.echo("no Pi has enrolled here")
        return
    run(hub, "site.yml", devices, *options)
