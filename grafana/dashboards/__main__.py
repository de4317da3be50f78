"""Write the dashboards' JSON; with ``--check`` only report which files differ from a fresh build."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from collectors.core.schema import DeclarationError
from grafana.dashboards import FOLDER, fresh


@click.command(name="grafana.dashboards")
@click.option("--check", is_flag=True, help="Write nothing; fail when a file differs from a fresh build.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=FOLDER,
    help="Folder of the JSON.  [default: grafana/dashboards]",
)
def main(check: bool, folder: Path) -> None:
    """Write the dashboards' JSON from the rows."""
    try:
        texts = fresh()
    except DeclarationError as error:
        raise click.ClickException(str(error)) from None
    stale = [
        name
        for name, text in texts.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
    strays = sorted(path.name for path in folder.glob("*.json") if path.name not in texts)
    if check:
        for name in [*stale, *strays]:
            click.echo(f"E! {name} is not what its rows build; run python -m grafana.dashboards", err=True)
        sys.exit(1 if stale or strays else 0)
    for name in stale:
        (folder / name).write_text(texts[name], encoding="utf-8")
        click.echo(f"wrote {name}")
    for name in strays:
        (folder / name).unlink()
        click.echo(f"removed {name}: no board builds it")


if __name__ == "__main__":
    main()
