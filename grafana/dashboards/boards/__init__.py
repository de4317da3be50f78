"""Rows and annotations that combine several measurements, and belong to no single collector.

A module here is found by its name, as those in ``rows/`` are; it defines ``rows() -> Iterable[Row]``.
"""
