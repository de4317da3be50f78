"""``python -m tests.bench [NAME ...]``: run the benchmarks in this folder and print their results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.measure import BenchUnavailable, Result


def names() -> list[str]:
    """Every benchmark: the modules ``bench_<name>`` in this folder."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def figure(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def row(result: Result) -> tuple[str, str, str, str]:
    """A row of the table: name, value, target, verdict."""
    if result.target is None:
        return result.name, f"{figure(result.value)} {result.unit}", "", ""
    bound = "at most" if result.better == "less" else "at least"
    verdict = "[green]met[/]" if result.met else "[red]missed[/]"
    return result.name, f"{figure(result.value)} {result.unit}", f"{bound} {figure(result.target)}", verdict


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks named, or all; 1 when one could not run. A missed target is a finding, no failure."""
    known = names()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}; all when left out")
    chosen = parser.parse_args(arguments).names or known
    if unknown := sorted(set(chosen) - set(known)):
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(known)}")
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a file has no width, and rich treats it as a narrow terminal
    table = Table("benchmark", "measured", "value", "target", "", header_style="bold")
    failed = False
    for name in chosen:
        try:
            with console.status(f"measuring {name}"):
                results = import_module(f"tests.bench.bench_{name}").run()
        except (BenchUnavailable, ImportError) as error:
            failed = True
            table.add_row(name, f"[yellow]not run: {error}[/]")
            continue
        for number, result in enumerate(results):
            table.add_row("" if number else name, *row(result), end_section=number == len(results) - 1)
    console.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
