"""The types of the doctor: a check, its findings, and their cures."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sensetig import policy

if TYPE_CHECKING:
    from sensetig.doctor.patient import Patient

#: The level of a part that could not be checked, in addition to those of :mod:`sensetig.policy`.
UNCHECKED = "unchecked"


class NotHere(Exception):
    """This machine does not have the checked part; the check is left out."""


class CannotCheck(Exception):
    """The check is not possible; the text is the reason, and completes "not checked: …"."""


class Cure(NamedTuple):
    """A remedy.

    Args:
        commands: run as root, in this order; empty if a person has to act.
        by_hand: the action of a person, as a sentence without a full stop.
    """

    commands: tuple[tuple[str, ...], ...] = ()
    by_hand: str = ""

    @property
    def shown(self) -> str:
        """The cure as a line to copy, or as a sentence."""
        return " && ".join(f"sudo {shlex.join(each)}" for each in self.commands) or self.by_hand


def run(*command: str) -> Cure:
    """A cure that is one command, run as root."""
    return Cure((command,))


def hand(sentence: str) -> Cure:
    """A cure that a person has to carry out."""
    return Cure((), sentence)


#: Restores files that the playbook installs.
INSTALL = hand("run sudo ./install in the checkout again")


class Finding(NamedTuple):
    """One result of a check.

    Args:
        level: of :mod:`sensetig.policy`, or :data:`UNCHECKED`.
        text: a sentence without a capital and without a full stop.
        cure: the remedy, if there is one.
    """

    level: str
    text: str
    cure: Cure | None = None


def good(text: str) -> list[Finding]:
    """All is well."""
    return [Finding(policy.GOOD, text)]


def look(text: str, cure: Cure) -> list[Finding]:
    """Something is worth a look."""
    return [Finding(policy.LOOK, text, cure)]


def act(text: str, cure: Cure) -> list[Finding]:
    """Something is wrong."""
    return [Finding(policy.ACT, text, cure)]


class Check(NamedTuple):
    """One check.

    Args:
        name: for scripts.
        title: for people.
        read: receives the facts from the machine. It may raise NotHere, CannotCheck and OperatorError.
        judge: derives findings from the facts; a pure function.
        needs: the names of checks that must pass first.
    """

    name: str
    title: str
    read: Callable[[Patient], Any]
    judge: Callable[[Any], list[Finding]]
    needs: tuple[str, ...] = ()


class Result(NamedTuple):
    """The result of a check."""

    check: Check
    findings: tuple[Finding, ...]

    @property
    def level(self) -> str:
        """The most urgent level of its findings."""
        levels = [each.level for each in self.findings if each.level != UNCHECKED]
        return policy.worst(levels) if levels else UNCHECKED


def worst(results: Sequence[Result]) -> str:
    """The most urgent level of all."""
    return policy.worst(each.level for each in results if each.level != UNCHECKED)
