"""``sensetig reference``."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from pathlib import Path

import click

from collectors.core.registry import catalogue
from collectors.core.schema import DeclarationError
from sensetig import bundle
from sensetig.declarations import collector_module
from sensetig.reference.declarations import Collector, render_metrics, render_settings


def _collectors(docs: Path) -> list[Collector]:
    """The declarations of all collectors; *docs* is the folder that may hold a page for each."""
    found = []
    for name, summary in catalogue().items():
        module = collector_module(name)
        guide = f"collectors/{name}.md"
        found.append(
            Collector(name, summary, module.MEASUREMENTS, module.SETTINGS, guide if (docs / guide).is_file() else None)
        )
    return found


def _metrics(docs: Path) -> str:
    try:
        return render_metrics(_collectors(docs))
    except DeclarationError as error:
        raise click.ClickException(str(error)) from None


def _program() -> click.Group:
    from sensetig.__main__ import main  # a circular import, so not at the top

    return main


def _commands() -> str:
    from sensetig.reference.commands import render_commands

    return render_commands(_program(), "sensetig")


def _environment() -> str:
    from sensetig.reference.environment import render_environment

    return render_environment(_program(), "sensetig", bundle.root() / "telegraf")


def _http() -> str:
    from sensetig.reference.http import render_http

    return render_http()


def _topics() -> str:
    from sensetig.reference.topics import render_topics

    return render_topics(bundle.root() / "mosquitto" / "sensetig.acl")


#: The pages by name, each built for a documentation folder.
PAGES: dict[str, Callable[[Path], str]] = {
    "metrics": _metrics,
    "settings": lambda docs: render_settings(_collectors(docs)),
    "cli": lambda _docs: _commands(),
    "environment": lambda _docs: _environment(),
    "http-api": lambda _docs: _http(),
    "mqtt-topics": lambda _docs: _topics(),
}


def kept_in(root: Path) -> Path:
    """The folder of the pages in a checkout. Raises ClickException if *root* is an installed bundle."""
    folder = root / "docs" / "reference"
    if not folder.is_dir():
        raise click.ClickException(
            "this SenseTIG is installed without its documentation, which only a checkout has; "
            "name a file with --file, or print the reference with --file -"
        )
    return folder


@click.command("reference")
@click.option("--page", type=click.Choice(list(PAGES)), show_default="all pages", help="Write only this page.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    show_default="the page of its kind in docs/reference",
    help="Write the page, by default metrics, to this file; - prints it.",
)
@click.option("--check", is_flag=True, help="Write nothing; print how the pages differ, and exit with 1 if they do.")
def command(page: str | None, file: Path | None, check: bool) -> None:
    """Write the reference pages."""
    if str(file) == "-":
        click.echo(PAGES[page or "metrics"](bundle.root() / "docs" / "reference"), nl=False)
        return
    if file is not None:
        wanted = {file: PAGES[page or "metrics"]}
    else:
        docs = kept_in(bundle.root())
        wanted = {docs / f"{name}.md": build for name, build in PAGES.items() if page in (None, name)}
    stale = [path for path, build in wanted.items() if _differs(path, build(path.parent), write=not check)]
    if check and stale:
        for path in stale:
            click.echo(f"{path} differs from the declarations; run: sensetig reference", err=True)
        sys.exit(1)


def _differs(path: Path, fresh: str, *, write: bool) -> bool:
    """Whether the page at *path* is stale. Writes the fresh page, or prints the difference."""
    try:
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        if write:
            path.write_text(fresh, encoding="utf-8")
            click.echo(f"{path} is {'unchanged' if kept == fresh else 'written'}")
            return kept != fresh
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read or written: {error.strerror or error}") from None
    for line in difflib.unified_diff(kept.splitlines(), fresh.splitlines(), str(path), "declared", lineterm="", n=1):
        click.echo(line)
    return kept != fresh
