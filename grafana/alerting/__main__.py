"""Writes the YAML of alerting; with ``--check`` only says which files differ from a fresh build."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from grafana.alerting import BUILT, FOLDER, document, fresh
from grafana.alerting.rules import RULES


@click.command(name="grafana.alerting")
@click.option("--check", is_flag=True, help="Write nothing; fail when a file differs from a fresh build.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=FOLDER,
    help="Folder of the YAML.  [default: with the provisioning]",
)
@click.option(
    "--document",
    "described",
    type=click.Path(dir_okay=False, path_type=Path),
    default=document.DOCUMENT,
    help="The reference page of the rules.  [default: docs/reference/alerts.md]",
)
def main(check: bool, folder: Path, described: Path) -> None:
    """Write the alert rules, contact points and policies, and their page in the documentation."""
    texts = fresh()
    text = described.read_text(encoding="utf-8") if described.is_file() else ""
    page = document.page(RULES)
    stale = [
        name
        for name, text in texts.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
    # Keep files that a user added; remove only those that were built here and no longer are.
    strays = sorted(
        path.name
        for path in folder.glob("*.yaml")
        if path.name not in texts and BUILT in path.read_text(encoding="utf-8")
    )
    if check:
        for name in [*stale, *strays, *([described.name] if page != text else [])]:
            click.echo(f"E! {name} is not what grafana.alerting builds; run python -m grafana.alerting", err=True)
        sys.exit(1 if stale or strays or page != text else 0)
    for name in stale:
        (folder / name).write_text(texts[name], encoding="utf-8")
        click.echo(f"wrote {name}")
    if page != text:
        described.write_text(page, encoding="utf-8")
        click.echo(f"wrote {described.name}")
    for name in strays:
        (folder / name).unlink()
        click.echo(f"removed {name}: nothing builds it")


if __name__ == "__main__":
    main()
