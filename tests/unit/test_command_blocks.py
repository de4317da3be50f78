"""Every block of commands in the documentation runs in a test, or says why it cannot."""

from __future__ import annotations

import re

import pytest

from tests.blocks import COMMANDS, Block, blocks, find
from tests.golden import ROOT

_RUN_ELSEWHERE = re.compile(r"run in (tests/\S+\.py)\b")
_NOT_RUN = re.compile(r"not run: \S.{5,}")

#: How a line of the bundle's commands begins.
_COMMAND = re.compile(
    r"(?:\$ |sudo |sensetig |python3? |make [a-z]|pip |mosquitto_\w+ |git |curl |telegraf |ansible-\w+ |ssh )"
)


#: The programs that a block without a marker may run.
_HARMLESS = {"cat", "python", "sensetig", "telegraf"}


def problem(block: Block) -> str:
    """The fault in the language or the marker of a block; empty if there is none."""
    first = next(iter(block.content.splitlines()), "")
    if block.language not in COMMANDS:
        return f"starts with a command, and has the language {block.language!r}" if _COMMAND.match(first) else ""
    if not block.marker:
        # tests/integration/test_command_blocks.py runs it, on any developer's machine.
        programs = {line.split()[0] for line in block.commands.splitlines() if line[:1] not in ("", " ", "#")}
        return f"needs a marker, or only programs of {_HARMLESS}" if programs - _HARMLESS else ""
    if _NOT_RUN.fullmatch(block.marker):
        return ""
    named = re.findall(r"\btests/[\w/]+\.py\b", block.marker)
    if not _RUN_ELSEWHERE.match(block.marker) or not named:
        return f"the marker {block.marker!r} says neither 'not run: REASON' nor 'run in tests/….py'"
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in named if (ROOT / path).is_file()]
    words = set(re.findall(r"[A-Za-z][\w.]{3,}", block.commands)) - {"sudo", "sensetig", "python", "make", "collectors"}
    if not any(word in text for text in texts for word in words):
        return f"none of its words is in {' or '.join(named)}"
    return ""


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.name)
def test_a_block_of_commands_is_run_or_says_why_not(block: Block) -> None:
    assert problem(block) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\nsudo ./install\n```\n", "starts with a command"),
        ("```text\n$ make demo\n```\n", "starts with a command"),
        ("<!-- run by hand -->\n```sh\nmake demo\n```\n", "says neither"),
        ("<!-- not run: -->\n```sh\nmake demo\n```\n", "says neither"),
        ("<!-- run in tests/unit/test_nothing.py -->\n```sh\nmake demo\n```\n", "none of its words"),
        ("<!-- run in tests/unit/test_calibration_command.py -->\n```sh\nfrobnicate\n```\n", "none of its words"),
        ("<!-- not run: needs a Pi -->\n```sh\nmake demo\n```\n", ""),
        ("<!-- run in tests/integration/test_demo.py -->\n```sh\nmake demo\n```\n", ""),
        ("```sh\ncd /etc/systemd/system\n```\n", "needs a marker"),
        ("```\nan output\n```\n", ""),
    ],
)
def test_a_fault_in_a_block_is_reported(text: str, said: str) -> None:
    (block,) = find(text)
    assert problem(block).startswith(said) if not said else said in problem(block)


def test_a_block_has_its_place_its_marker_and_its_commands() -> None:
    text = "1. Step\n\n    <!-- not run: x -->\n    ```console\n    $ a \\\n        b\n    output\n    $ c\n    ```\n"
    (block,) = find(text, "docs/page.md")
    assert (block.name, block.marker, block.language) == ("docs/page.md:4", "not run: x", "console")
    assert block.commands == "a \\\n    b\nc\n"


def test_a_comment_two_lines_above_is_no_marker() -> None:
    (block,) = find("<!-- not run: x -->\n\n```sh\nmake demo\n```\n")
    assert block.marker == ""
