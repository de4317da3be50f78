"""Splits a pipe's chunks, which may end anywhere, into complete lines; a string may contain line breaks.

Telegraf does not escape line breaks in the strings of lines for a processor, so that one line of line protocol may span
several lines of text.
"""

from __future__ import annotations

import re

#: The text before an open string: an escaped head, then fields; the last one is open.
_HEAD = r"(?:[^ \\\n]++|\\.)*+[ ]++"
_KEY = r"(?:[^=,\\ \n]++|\\.)++"
_STRING = r'"(?:[^"\\]++|\\.)*+'
_OPEN = re.compile(rf'{_HEAD}(?:{_KEY}=(?:{_STRING}"|[^",\s][^,\s"]*+),)*+{_KEY}={_STRING}\Z', re.DOTALL)
#: The rest of an open string, up to its end; without one the string is still open.
_CLOSES = re.compile(r'(?:[^"\\]++|\\.)*+"', re.DOTALL)


def is_plain(text: str) -> bool:
    """Whether the text contains nothing that line protocol and the fast path would interpret differently."""
    return text.isascii() and not (
        '"' in text
        or "\\" in text
        or "\t" in text
        or "\v" in text
        or "\f" in text
        or "\r" in text
        or "\x1c" in text
        or "\x1d" in text
        or "\x1e" in text
        or "\x1f" in text
        or "=+" in text
    )


class Lines:
    """Splits chunks into complete lines, and keeps an incomplete one until its end arrives.

    Bytes that are not UTF-8 are kept by Python's ``surrogateescape``, so that they are output unchanged.

    Args:
        max_bytes: maximum length of a line. A longer one is skipped and counted in :attr:`too_long`.
    """

    def __init__(self, max_bytes: int) -> None:
        self.too_long = 0
        #: Whether the lines of the last call are all plain, see :func:`is_plain`.
        self.plain = False
        self._most = max_bytes
        self._pending: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that *data* completes, without line breaks and empty lines."""
        self.plain = True
        if self._skipping:
            _, end, data = data.partition(b"\n")
            if not end:
                return []
            self._skipping = False
        if b"\n" not in data:
            return self._keep(data)
        whole = b"".join((*self._pending, data)) if self._pending else data
        self._pending, self._size = [], 0
        cut = whole.rfind(b"\n") + 1
        lines, opened = self._split(whole[:cut])
        return lines + self._keep(opened + whole[cut:])

    def end(self) -> list[str]:
        """The remaining lines at the end of the input; the last one may lack its line break."""
        self.plain = True
        rest, self._pending, self._size = b"".join(self._pending), [], 0
        if not rest:
            return []
        lines, opened = self._split(rest if rest.endswith(b"\n") else rest + b"\n")
        # A string that is never closed ends with its first line; the rest may be separate lines.
        return lines + [line for line in _text(opened).split("\n") if line]

    def rest(self) -> bytes:
        """Return and remove the incomplete line."""
        rest, self._pending, self._size = b"".join(self._pending), [], 0
        return rest

    def _keep(self, rest: bytes) -> list[str]:
        """Keep an incomplete line until its end; return lines that cannot wait any longer."""
        if not rest:
            return []
        self._pending.append(rest)
        self._size += len(rest)
        if self._size <= self._most:
            return []
        whole = b"".join(self._pending)
        cut = whole.rfind(b"\n") + 1
        lines, opened = self._split(whole[:cut])
        self._pending, self._size = [whole[cut:]], len(whole) - cut
        if self._size > self._most:
            self.too_long += 1
            self._pending, self._size = [], 0
            self._skipping = True
        return lines + [line for line in _text(opened).split("\n") if line]

    def _split(self, whole: bytes) -> tuple[list[str], bytes]:
        """The lines of a text that ends in a line break, and its last part if a string in it is still open."""
        text = _text(whole)
        self.plain = self.plain and is_plain(text)
        if '"' not in text:
            return [line for line in text.split("\n") if line], b""
        lines: list[str] = []
        pieces = text[:-1].split("\n")
        index, count = 0, len(pieces)
        while index < count:
            piece = pieces[index]
            index += 1
            # A name may contain a quote: only an open string continues after the line break.
            if '"' in piece and _OPEN.match(piece) is not None:
                after, size = index, len(piece)
                while after < count and size <= self._most:
                    size += 1 + len(pieces[after])
                    after += 1
                    # Each piece is scanned once. Another string may begin after the end of this one.
                    if _closes(pieces[after - 1]) and _OPEN.match("\n".join(pieces[index - 1 : after])) is None:
                        break
                else:
                    if size <= self._most:
                        return lines, "\n".join((*pieces[index - 1 : after], "")).encode("utf-8", "surrogateescape")
                    # No string is this long: the line that opened it is invalid, and the following ones are complete.
                    lines.append(piece)
                    continue
                piece, index = "\n".join(pieces[index - 1 : after]), after
            if piece:
                lines.append(piece)
        return lines, b""


def _closes(piece: str) -> bool:
    """Whether an open string ends in a line of text that continues it."""
    return '"' in piece and _CLOSES.match(piece) is not None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
