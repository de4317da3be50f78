"""Small programs that replace engines and tools on a PATH for the tests."""

from __future__ import annotations

from pathlib import Path


def script(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def prints(path: Path, text: str) -> Path:
    """A program that prints this, whatever it is asked."""
    return script(path, f"cat <<'END'\n{text}\nEND")
