"""Links to the documentation: pages that Grafana serves on the hub, or else files of the checkout."""

from __future__ import annotations

import re

#: A page of the documentation, as messages name it: its file in the checkout, with a section.
PAGE = re.compile(r"\bdocs/([\w/-]+)\.md(#[\w-]+)?")


def linked(text: str, root: str) -> str:
    """The text with the address of each page in place of its file.

    Args:
        text: a message that names files such as ``docs/how-to/tls.md``.
        root: the address of the documentation site; empty if there is none, so that files are named.

    >>> linked("see docs/how-to/tls.md#own", "https://hub.local/public/sensetig")
    'see https://hub.local/public/sensetig/how-to/tls.html#own'
    """
    return PAGE.sub(lambda page: f"{root}/{page[1]}.html{page[2] or ''}", text) if root else text
