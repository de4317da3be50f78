"""Check the subjects of commits: imperative, at most 72 characters, no full stop.

``python -m tools.subjects`` is part of ``make lint``. It checks the commits since the one that ``tools/prose.toml``
records, because older subjects do not follow the rule. A tree without that commit, such as a shallow clone or an
archive, is not checked.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

from tools.git import git
from tools.prose import CEILINGS, ROOT, imperative

#: Characters of a subject.
MAX_LENGTH = 72


def faults(subject: str) -> Iterator[str]:
    """The faults of a subject. Subjects that git writes for a revert or a fixup are exempt."""
    if subject.startswith(('Revert "', "fixup! ", "squash! ")):
        return
    if len(subject) > MAX_LENGTH:
        yield f"has {len(subject)} characters; at most {MAX_LENGTH}"
    if subject.endswith("."):
        yield "ends with a full stop"
    if not subject[:1].isupper():
        yield "begins with no capital letter"
    if not imperative(subject):
        yield 'does not begin with an imperative, such as "Fix" or "Add"'


def commits_since(base: str, root: Path) -> list[tuple[str, str]] | None:
    """Abbreviated hash and subject of each commit after *base*, merges apart; None where *base* is not in the tree."""
    if git(root, "merge-base", "--is-ancestor", base, "HEAD") is None:
        return None
    log = git(root, "log", "--no-merges", "--format=%h %s", f"{base}..HEAD")
    return None if log is None else [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in log.splitlines()]


@click.command()
@click.option(
    "--base",
    default=lambda: tomllib.loads(CEILINGS.read_text(encoding="utf-8"))["commits"]["base"],
    show_default="the commit in tools/prose.toml",
    help="Check the commits after this one.",
)
@click.option("--root", type=click.Path(exists=True, file_okay=False, path_type=Path), default=ROOT, help="The tree.")
def main(base: str, root: Path) -> None:
    """Check the subjects of the commits after a base."""
    commits = commits_since(base, root)
    if commits is None:
        click.echo(f"commit subjects are not checked: this tree's history does not reach {base}")
        return
    found = [f'{commit}: "{subject}" {fault}' for commit, subject in commits for fault in faults(subject)]
    if found:
        click.echo("\n".join(found), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
