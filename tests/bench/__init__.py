"""Benchmarks: ``python -m tests.bench [NAME ...]`` measures and prints; nothing here is ever asserted.

Each ``bench_<name>.py`` defines ``run() -> list[Result]``. Figures that are compared are taken side by side in
one run, so that a busy machine slows both.
"""
