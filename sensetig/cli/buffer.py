"""``sensetig buffer``: Telegraf's buffer on disk, before each start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sensetig.buffer import Outcome

#: The exit status that says that something would be done.
_TO_DO = 3


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default="/var/lib/telegraf/buffer",
    show_default=True,
    show_envvar=True,
    help="Telegraf's buffer_directory.",
)
@click.option(
    "--most-megabytes",
    type=click.IntRange(min=40),
    default=1024,
    show_default=True,
    show_envvar=True,
    help="How much the buffer may hold; above it the oldest points go.",
)
@click.option(
    "--free-megabytes",
    type=click.IntRange(min=0),
    default=256,
    show_default=True,
    show_envvar=True,
    help="How much of the disk the buffer leaves free; below it the oldest points go.",
)
@click.option(
    "--one-output",
    is_flag=True,
    help="A single output buffers here: it takes over the points buffered for an earlier address.",
)
@click.option("--only-look", is_flag=True, help="Change nothing; exit with status 3 if the buffer is too large.")
def command(directory: Path, most_megabytes: int, free_megabytes: int, one_output: bool, only_look: bool) -> None:
    """Repair and trim Telegraf's disk buffer. Telegraf must not run meanwhile.

    Telegraf does not start with a buffer that a power cut has damaged, and sets it no size. The service calls this
    before each start. Readable data stays; unreadable data moves into the folder `damaged` and is reported, as are
    dropped points.
    """
    import shutil

    from sensetig import buffer

    def free() -> int:
        return shutil.disk_usage(directory).free

    most, least = most_megabytes * 1_048_576, free_megabytes * 1_048_576
    try:
        if only_look:
            too_much = buffer.excess(directory, most, least, free()) if directory.is_dir() else 0
            click.echo(f"the buffer in {directory} has {too_much} bytes too many")
            raise SystemExit(_TO_DO if too_much else 0)
        outcome = buffer.guard(directory, most, least, free, one_output=one_output) if directory.is_dir() else None
    except OSError as error:
        raise click.ClickException(f"the buffer in {directory} cannot be looked after: {error}") from None
    for line in said(outcome, directory) if outcome else ():
        click.echo(line, err=True)


def said(outcome: Outcome, directory: Path) -> list[str]:
    """A sentence for each change."""
    sentences = [
        (
            outcome.damaged,
            f"{outcome.damaged} bytes of the buffer could not be read, and are in {directory / 'damaged'}",
        ),
        (outcome.adopted, f"{outcome.adopted} points that waited for an older address go to the present one"),
        (outcome.dropped, f"{outcome.dropped} of the oldest points were let go, so that the buffer keeps its bounds"),
    ]
    return [sentence for count, sentence in sentences if count]
