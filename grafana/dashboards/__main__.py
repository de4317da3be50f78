"""Writes the dashboards' JSON; with ``--check`` only says which differ from a fresh build."""

from __future__ import annotations

import sys

import click

from grafana.dashboards import FOLDER, fresh


@click.command(name="grafana.dashboards")
@click.option("--check", is_flag=True, help="Write nothing; fail when a file differs from a fresh build.")
def main(check: bool) -> None:
    """Write grafana/dashboards/*.json from the rows."""
    texts = fresh()
    stale = [
        name
        for name, text in texts.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != text
    ]
    strays = sorted(path.name for path in FOLDER.glob("*.json") if path.name not in texts)
    if check:
        for name in [*stale, *strays]:
            click.echo(f"E! {name} is not what its rows build; run python -m grafana.dashboards", err=True)
        sys.exit(1 if stale or strays else 0)
    for name in stale:
        (FOLDER / name).write_text(texts[name], encoding="utf-8")
        click.echo(f"wrote {name}")
    for name in strays:
        (FOLDER / name).unlink()
        click.echo(f"removed {name}: no board builds it")


if __name__ == "__main__":
    main()
