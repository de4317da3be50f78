"""``sensetig reference``."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import click

from collectors.core.registry import catalogue
from collectors.core.schema import DeclarationError
from sensetig import bundle
from sensetig.declarations import collector_module
from sensetig.reference import Collector, render


def build(docs: Path) -> str:
    """The metrics reference of all collectors; *docs* is the folder it is for."""
    found = []
    for name, summary in catalogue().items():
        module = collector_module(name)
        guide = f"collectors/{name}.md"
        found.append(
            Collector(name, summary, module.MEASUREMENTS, module.SETTINGS, guide if (docs / guide).is_file() else None)
        )
    try:
        return render(found)
    except DeclarationError as error:
        raise click.ClickException(str(error)) from None


def kept_in(root: Path) -> Path:
    """Where a checkout keeps the reference. Raises ClickException where *root* is none, but an installed bundle."""
    if not (root / "docs").is_dir():
        raise click.ClickException(
            "this SenseTIG is installed without its documentation, which only a checkout has; "
            "name a file with --file, or print the reference with --file -"
        )
    return root / "docs" / "metrics.md"


@click.command("reference")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    show_default="docs/metrics.md of the checkout",
    help="Where the reference is kept; - prints it.",
)
@click.option("--check", is_flag=True, help="Write nothing; say how the file differs, and end with 1 if it does.")
def command(file: Path | None, check: bool) -> None:
    """Write the metrics reference."""
    file = kept_in(bundle.root()) if file is None else file
    if str(file) == "-":
        click.echo(build(bundle.root() / "docs"), nl=False)
        return
    fresh = build(file.parent)
    try:
        kept = file.read_text(encoding="utf-8") if file.exists() else ""
        if not check:
            file.write_text(fresh, encoding="utf-8")
            click.echo(f"{file} is {'as it was' if kept == fresh else 'written'}")
            return
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read or written: {error.strerror or error}") from None
    if kept != fresh:
        for line in difflib.unified_diff(
            kept.splitlines(), fresh.splitlines(), str(file), "declared", lineterm="", n=1
        ):
            click.echo(line)
        click.echo(f"{file} is not what the collectors declare; run: sensetig reference", err=True)
        sys.exit(1)
