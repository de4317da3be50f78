"""What belongs to no single collector: rows and annotations that put several measurements together.

A module here is found by its name, as those in ``rows/`` are; it defines ``rows() -> Iterable[Row]``.
"""
