"""Run the checks: each in a thread, as soon as the checks that it depends on are done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from sensetig import policy
from sensetig.doctor.findings import UNCHECKED, CannotCheck, Check, Finding, NotHere, Result, act, hand
from sensetig.doctor.machine import config
from sensetig.doctor.patient import Patient
from sensetig.errors import OperatorError


def examine(checks: Sequence[Check], patient: Patient) -> Iterator[Result]:
    """The results in the order of the checks, without parts that this machine does not have.

    Args:
        checks: each comes after the checks that it needs.
        patient: the machine.
    """
    titles = {each.name: each.title for each in checks}
    # A thread for each check, so that waiting checks do not block those that they wait for.
    with ThreadPoolExecutor(len(checks), "doctor") as pool:
        made: dict[str, Future[Result | None]] = {}
        for check in checks:
            needed = {name: made[name] for name in check.needs}
            made[check.name] = pool.submit(_make, check, needed, titles, patient)
        for each in made.values():
            result = each.result()
            if result is not None:
                yield result


def _make(
    check: Check, needed: dict[str, Future[Result | None]], titles: dict[str, str], patient: Patient
) -> Result | None:
    for name, future in needed.items():
        before = future.result()
        if before is not None and before.level == UNCHECKED:
            return Result(check, before.findings)  # the reason is the same here
        if before is not None and before.level == policy.ACT:
            return _unchecked(check, f"{titles[name]} comes first")
    try:
        facts = check.read(patient)
    except NotHere:
        return None
    except CannotCheck as error:
        return _unchecked(check, str(error))
    except OperatorError as error:
        text, _, cure = str(error).partition("; ")
        return Result(check, tuple(act(text, hand(cure or "see the lines above"))))
    except OSError as error:
        return _unchecked(check, f"{error.filename or 'a file'} cannot be read: {error.strerror}")
    return Result(check, tuple(_located(each, patient) for each in check.judge(facts)))


def _located(finding: Finding, patient: Patient) -> Finding:
    """The finding, with the path of this machine's playbook settings inserted into its cure."""
    if finding.cure is None or "config.yml" not in finding.cure.by_hand:
        return finding
    sentence = finding.cure.by_hand.replace("config.yml", config(patient.top))
    return finding._replace(cure=hand(sentence))


def _unchecked(check: Check, reason: str) -> Result:
    return Result(check, (Finding(UNCHECKED, f"not checked: {reason}"),))
