"""``sensetig buffer``: pass the points in Telegraf's former disk buffer to the outbox."""

from __future__ import annotations

from pathlib import Path

import click

from sensetig import options


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default="/var/lib/telegraf/buffer",
    show_default=True,
    show_envvar=True,
    help="Telegraf's former buffer_directory.",
)
@click.option(
    "--socket",
    default="/run/sensetig-outbox/write.sock",
    show_default=True,
    show_envvar=True,
    help="Socket of the outbox.",
)
@options.organisation
@options.bucket
@click.option("--most-megabytes", type=int, hidden=True)
@click.option("--free-megabytes", type=int, hidden=True)
@click.option("--one-output", is_flag=True, hidden=True)
@click.option("--only-look", is_flag=True, hidden=True)
def command(
    directory: Path,
    socket: str,
    organisation: str,
    bucket: str,
    most_megabytes: int | None,
    free_megabytes: int | None,
    one_output: bool,
    only_look: bool,
) -> None:
    """Deliver the points in Telegraf's former buffer.

    The outbox replaces that buffer. The playbook calls this once, when it installs the outbox on a machine that has
    points in a disk buffer. Files with damaged parts stay in the folder `damaged`; all readable points are delivered.
    """
    from sensetig.outbox import former
    from sensetig.outbox.batch import Destination

    if one_output or only_look or most_megabytes is not None or free_megabytes is not None:
        click.echo(
            "W! --most-megabytes, --free-megabytes, --one-output and --only-look are deprecated and do nothing: "
            "the outbox replaces Telegraf's disk buffer",
            err=True,
        )
    if only_look:
        return
    outbox = former.Socket(socket, Destination(organisation, bucket))
    try:
        outcome = former.deliver(directory, outbox.send, lambda sentence: click.echo(sentence, err=True))
    except OSError as error:
        raise click.ClickException(
            f"the buffer in {directory} cannot be delivered: {error.strerror or error}; run this as Telegraf's user"
        ) from None
    click.echo(f"{outcome.delivered} points of {directory} are delivered")
