"""A proportional font of up to five columns by seven rows, and an eighth row for descenders.

Each letter is its columns from left to right, two hexadecimal digits per column; the lowest bit is the top row.
"""

from __future__ import annotations

import unicodedata

HEIGHT = 8

_COLUMNS = {
    " ": "0000", "!": "5f", '"': "030003", "#": "147f147f14", "$": "242a7f2a12", "%": "2313086462",
    "&": "3649562050", "'": "03", "(": "1c2241", ")": "41221c", "*": "2a1c7f1c2a", "+": "08083e0808",
    ",": "a060", "-": "080808", ".": "40", "/": "2010080402", "0": "3e5149453e", "1": "427f40",
    "2": "6251494946", "3": "2241494936", "4": "1814127f10", "5": "2745454539", "6": "3c4a494930",
    "7": "0171090503", "8": "3649494936", "9": "064949291e", ":": "24", ";": "a064", "<": "081422",
    "=": "14141414", ">": "221408", "?": "0201510906", "@": "3e415d551e", "A": "7e1111117e",
    "B": "7f49494936", "C": "3e41414122", "D": "7f4141221c", "E": "7f49494941", "F": "7f09090901",
    "G": "3e4149497a", "H": "7f0808087f", "I": "417f41", "J": "2040413f01", "K": "7f08142241",
    "L": "7f40404040", "M": "7f020c027f", "N": "7f0408107f", "O": "3e4141413e", "P": "7f09090906",
    "Q": "3e4151215e", "R": "7f09192946", "S": "2649494932", "T": "01017f0101", "U": "3f4040403f",
    "V": "1f2040201f", "W": "3f4038403f", "X": "6314081463", "Y": "0708700807", "Z": "6151494543",
    "[": "7f4141", "\\": "0204081020", "]": "41417f", "^": "0402010204", "_": "80808080",
    "`": "0102", "a": "2054545478", "b": "7f48444438", "c": "3844444428", "d": "384444487f",
    "e": "3854545418", "f": "087e0902", "g": "18a4a4a47c", "h": "7f08040478", "i": "447d40",
    "j": "80847d", "k": "7f102844", "l": "417f40", "m": "7c04180478", "n": "7c08040478",
    "o": "3844444438", "p": "fc24242418", "q": "18242424fc", "r": "7c080404", "s": "4854545424",
    "t": "043f4420", "u": "3c4040207c", "v": "1c2040201c", "w": "3c4030403c", "x": "4428102844",
    "y": "1ca0a0a07c", "z": "4464544c44", "{": "083641", "|": "7f", "}": "413608", "~": "0804080408",
    "°": "060906",
}  # fmt: skip


def columns(sign: str) -> bytes:
    """The columns of a letter; unknown accents are dropped, and ``?`` replaces unknown letters.

    >>> columns("I").hex(), columns("é") == columns("e"), columns("雨") == columns("?")
    ('417f41', True, True)
    """
    known = _COLUMNS.get(sign) or _COLUMNS.get(unicodedata.normalize("NFKD", sign)[:1]) or _COLUMNS["?"]
    return bytes.fromhex(known)


def known() -> str:
    """Every character of the font."""
    return "".join(_COLUMNS)
