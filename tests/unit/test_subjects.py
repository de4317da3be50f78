"""Commit subjects are imperative, at most 72 characters long, and end with no full stop."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.subjects import commits_since, faults, main


@pytest.mark.parametrize(
    "subject",
    [
        "Fix the spool position after a truncated segment",
        "Add `sensetig doctor`",
        "Pass the host to the collector",
        "Process lines in whole",
        "Embed the font",
        'Revert "The old subject of a commit that is longer than seventy-two characters in all."',
    ],
)
def test_plain_subject_passes(subject: str) -> None:
    assert list(faults(subject)) == []


@pytest.mark.parametrize(
    ("subject", "fault"),
    [
        ("Fix " + "x" * 69, "has 73 characters; at most 72"),
        ("Fix the spool.", "ends with a full stop"),
        ("fix the spool", "begins with no capital letter"),
        *(
            (subject, 'does not begin with an imperative, such as "Fix" or "Add"')
            for subject in (
                "What was there twice is there once",
                "The spool keeps its position",
                "Fixed the spool",
                "Fixes the spool",
                "Fixing the spool",
                "No data is lost",
            )
        ),
    ],
)
def test_fault_is_named(subject: str, fault: str) -> None:
    assert list(faults(subject)) == [fault]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with three commits; the first two violate the rule."""
    _git(tmp_path, "init", "--quiet")
    for subject in ("What was first", "The spool. Fixed.", "Fix the spool"):
        _git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", subject)
    return tmp_path


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_only_commits_after_the_base_are_checked(repository: Path) -> None:
    checked = CliRunner().invoke(main, ["--root", str(repository), "--base", "HEAD~1"])
    assert (checked.exit_code, checked.output) == (0, "")
    failed = CliRunner().invoke(main, ["--root", str(repository), "--base", "HEAD~2"])
    assert failed.exit_code == 1
    hash_ = _git(repository, "rev-parse", "--short", "HEAD~1")
    assert failed.output == (
        f'{hash_}: "The spool. Fixed." ends with a full stop\n'
        f'{hash_}: "The spool. Fixed." does not begin with an imperative, such as "Fix" or "Add"\n'
    )


def test_shallow_clone_is_not_checked(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    clone = tmp_path_factory.mktemp("clone")
    _git(clone, "clone", "--quiet", "--depth=1", f"file://{repository}", ".")
    base = _git(repository, "rev-parse", "HEAD~1")
    assert commits_since(base, clone) is None
    done = CliRunner().invoke(main, ["--root", str(clone), "--base", base])
    assert done.exit_code == 0
    assert f"this tree's history does not reach {base}" in done.output


def test_tree_without_a_repository_is_not_checked(tmp_path: Path) -> None:
    assert commits_since("HEAD", tmp_path / "nowhere") is None
