"""Whether motion is looked for: set from outside the loop that looks."""

from __future__ import annotations


class Switch:
    """On or off. Setting and reading are single steps, so any thread may do either."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = True
