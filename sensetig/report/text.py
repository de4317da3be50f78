"""Make text from the data safe to show: names of devices, sensors, cameras, disks and services are untrusted."""

from __future__ import annotations

import unicodedata

#: Maximum number of characters of a name in a legend, and of any text on the page.
MAX_NAME, MAX_TEXT = 120, 4000

#: Categories of invisible characters, or of characters that change the surrounding text: control and format characters
#: (escape sequences, changes of direction), surrogates, unassigned characters, line separators.
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))

#: A spreadsheet reads a text as a formula if it begins with one of these; it ignores invisible ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def printable(text: str, limit: int | None = None) -> str:
    r"""The text with invisible characters spelled out, shortened to *limit* characters.

    >>> printable("hall\x1b[31m")
    'hall\\x1b[31m'
    >>> printable("x" * 10, 5)
    'xxxx…'
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(ascii(sign)[1:-1] if unicodedata.category(sign) in _INVISIBLE else sign for sign in text)


def csv_cell(text: str) -> str:
    """Prefix a text with an apostrophe if a spreadsheet would read it as a formula.

    See https://owasp.org/www-community/attacks/CSV_Injection.
    """
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
