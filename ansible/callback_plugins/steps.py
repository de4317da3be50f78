"""Output of a playbook for the person who runs ./install: one line per service instead of one per task.

Each task goes to the log (``ANSIBLE_LOG_PATH``). Messages of ``debug`` tasks and errors are shown in full.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.constants import COLOR_ERROR
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: steps
    type: stdout
    short_description: one line per service
    description:
      - Shows each service that the playbook installs on one line, with its number of changes and its time.
"""

_WIDTH = 88


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """The callback plugin ``steps``."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "steps"

    def __init__(self) -> None:
        super().__init__()
        self._play: Any = None
        self._step = ""
        self._seen: set[str] = set()
        self._changes = 0
        self._step_started = self._started = time.monotonic()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play = play

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Close the last step and sum up; an error has been shown already."""
        self._close()
        if stats.failures or stats.dark:
            return
        changes = sum(stats.changed.values())
        seconds = time.monotonic() - self._started
        summary = "Nothing had to be changed" if changes == 0 else _count(changes)
        self._display.display(f"{summary}, {_duration(seconds)}")

    def v2_runner_on_ok(self, result: Any) -> None:
        if "include" in result.task.action:
            return
        self._enter(result.task)
        if result.is_changed():
            self._changes += 1
        if result.task.action in ("debug", "ansible.builtin.debug") and isinstance(result.result.get("msg"), str):
            self._note(f"  note: {result.result['msg']}")
        self._log("changed" if result.is_changed() else "ok", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._log("skipped", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._log("ignored" if ignore_errors else "failed", result)
        if not ignore_errors:
            self._enter(result.task)
            self._error(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._log("unreachable", result)
        self._enter(result.task)
        self._error(result)

    def _enter(self, task: Any) -> None:
        """Begin the step of a task, unless it is the current one."""
        title = _title(self._play, task)
        if title == self._step or title in self._seen:
            return
        self._close()
        self._seen.add(title)
        self._step, self._changes, self._step_started = title, 0, time.monotonic()
        self._display.display(f"{title} ".ljust(_WIDTH, "."), newline=False)

    def _close(self) -> None:
        """End the line of the current step."""
        if self._step:
            changes = _count(self._changes) if self._changes else "no change"
            self._display.display(f" {changes}, {_duration(time.monotonic() - self._step_started)}")
        self._step = ""

    def _note(self, text: str, color: str | None = None) -> None:
        """A text on lines of its own; the step continues after it."""
        if self._step:
            self._display.display("")
        self._display.display(text, color=color)
        self._step = ""

    def _error(self, result: Any) -> None:
        # Failed items of a loop have the reasons; the task itself says only that there are some.
        results = result.result.get("results") or [result.result]
        failed = [each for each in results if each.get("failed")] or [result.result]
        task = "" if result.task.action.endswith("assert") else f"{result.task.name}: "
        # Several items can fail for one reason, which is shown once.
        for reason in dict.fromkeys(_reason(each) for each in failed):
            self._note(f"error: {task}{reason}", COLOR_ERROR)

    def _log(self, status: str, result: Any) -> None:
        self._display.display(f"{status}: {result.host.get_name()}: {result.task.get_name()}", log_only=True)


def _title(play: Any, task: Any) -> str:
    """The name of a task's step: the description of the service that the play installs, or the play's name."""
    service = None
    if "services_play" in play.get_vars():
        # The outermost role: a service includes parts of the role common.
        node = task
        while node is not None:
            service = getattr(node, "_role", None) or service
            node = getattr(node, "_parent", None)
    if service is None:
        return str(play.get_name())
    return _description(service._role_path)


@cache
def _description(role: str) -> str:
    """The short description of a role, from its folder."""
    specs = yaml.safe_load((Path(role) / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return str(specs["argument_specs"]["main"]["short_description"])


def _reason(result: dict[str, Any]) -> str:
    """The sentence of a failed task, with the error output of its program."""
    message, said = (str(result.get(key) or "").strip() for key in ("msg", "stderr"))
    reasons = [message] if said in message else [message, said]
    return "; ".join(filter(None, reasons)) or "it failed without a reason"


def _count(changes: int) -> str:
    return "1 change" if changes == 1 else f"{changes} changes"


def _duration(seconds: float) -> str:
    """A time for people.

    >>> _duration(7.4), _duration(125)
    ('7 s', '2 min 5 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
