"""One module a collector: the rows that show it, each on the board that it names.

A module here is found by its name; it defines ``rows() -> Iterable[Row]``.
"""
