"""The pictures of the documentation: small enough to load, and each one used."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from PIL import Image

from sensetig import bundle
from tests.browser import kinds
from tools import pictures

ROOT = bundle.root()


def noise(width: int, height: int) -> Image.Image:
    """A picture that hardly compresses."""
    return Image.frombytes("RGB", (width, height), random.Random(1).randbytes(width * height * 3))


def test_a_picture_has_as_many_colours_as_fit(tmp_path: Path) -> None:
    pictures.write(Image.new("RGB", (1280, 800), "#12946c"), tmp_path / "plain.png")
    pictures.write(noise(420, 420), tmp_path / "noise.png")
    assert (tmp_path / "noise.png").stat().st_size <= pictures.MAX_BYTES
    with Image.open(tmp_path / "noise.png") as written:
        assert len(written.convert("RGB").getcolors() or ()) < 256


def test_a_picture_that_is_too_large_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"large\.png would be larger than"):
        pictures.write(noise(700, 700), tmp_path / "large.png")
    assert not list(tmp_path.iterdir())


def test_every_picture_is_small_and_is_shown_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = {name for page in pages for name in re.findall(r"pictures/([\w-]+\.png)", page.read_text(encoding="utf-8"))}
    kept = {file.name: file.stat().st_size for file in pictures.FOLDER.glob("*.png")}
    assert set(kept) == shown
    assert [name for name, size in kept.items() if size > pictures.MAX_BYTES] == []


def test_devices_write_only_declared_fields_and_a_silent_one_writes_nothing_new() -> None:
    names = {kind.name for kind in (*kinds.KINDS.values(), *kinds.FAULTS.values())}
    assert len(names) == len(kinds.KINDS) + len(kinds.FAULTS)
    assert not names & {device.name for device in kinds.OTHERS}
    at = 1_800_000_000
    without_hat = "\n".join(kinds.at_once(kinds.KINDS["no-hat"], at))
    assert "environment," not in without_hat
    assert "camera," in without_hat
    assert "camera," not in "\n".join(kinds.at_once(kinds.KINDS["no-camera"], at))
    assert [name for name, kind in kinds.KINDS.items() if not kind.alive] == ["dead", "never-seen"]
