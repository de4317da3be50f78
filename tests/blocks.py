"""The fenced blocks of README.md, CONTRIBUTING.md and docs, with their marker: does a test run them, and which?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.golden import ROOT
from tools.prose import GENERATED

#: Languages of blocks with commands.
COMMANDS = ("sh", "console")

#: A fence with the lines before it, and its content. An indented block belongs to a step of a list.
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<marker>[^\n]*?) -->\n)?^(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<content>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block.

    Args:
        page: its file, from the root of the project.
        line: of its fence.
        language: after the fence, or empty.
        content: its lines, without their indentation.
        marker: the HTML comment on the line before the fence, or empty.
    """

    page: str
    line: int
    language: str
    content: str
    marker: str

    @property
    def name(self) -> str:
        """Page and line, for the name of a test."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> str:
        """The script: the whole block, or in a block with output the lines behind a prompt and their continuations."""
        if self.language != "console":
            return self.content
        lines, continued = [], False
        for line in self.content.splitlines():
            if line.startswith(("$ ", "# ")) or continued:
                lines.append(line if continued else line[2:])
                continued = line.endswith("\\")
        return "\n".join(lines) + "\n"


def find(text: str, page: str = "page.md") -> Iterator[Block]:
    """The blocks of a page."""
    for match in _BLOCK.finditer(text):
        indent = match["indent"]
        lines = [line.removeprefix(indent) for line in match["content"].splitlines(keepends=True)]
        line = text.count("\n", 0, match.start("indent")) + 1
        yield Block(page, line, match["language"], "".join(lines), match["marker"] or "")


def pages() -> list[Path]:
    """The pages that people have written."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if path.relative_to(ROOT).as_posix() not in GENERATED]


def blocks() -> list[Block]:
    """All blocks of all pages."""
    return [
        block for path in pages() for block in find(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    ]
