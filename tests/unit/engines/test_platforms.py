"""Architectures and versions."""

from __future__ import annotations

import pytest

from sensetig.engines.platforms import architecture, version_in, will_do


@pytest.mark.parametrize(
    ("machine", "bits", "expected"),
    [
        ("x86_64", 64, "amd64"),
        ("AMD64", 64, "amd64"),
        ("aarch64", 64, "arm64"),
        ("arm64", 64, "arm64"),
        ("armv7l", 32, "armhf"),
        ("armv6l", 32, "armhf"),
        ("riscv64", 64, "riscv64"),
    ],
)
def test_an_architecture_has_debians_name(machine: str, bits: int, expected: str) -> None:
    assert architecture(machine, bits) == expected


def test_a_32_bit_system_on_a_64_bit_kernel_is_a_32_bit_system() -> None:
    assert architecture("aarch64", 32) == "armhf"
    assert architecture("x86_64", 32) == "i386"


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("Telegraf 1.39.3 (git: HEAD@2f8d3a1c)", "1.39.3"),
        ("InfluxDB v2.9.1 (git: none) build_date: 2026-11-21T08:07:39Z", "2.9.1"),
        ("grafana version 12.4.1", "12.4.1"),
        ("Version 11.6.0 (commit: d2fdff9ee8, branch: HEAD)", "11.6.0"),
        ("go version go1.26.8 linux/amd64", "1.26.8"),
        ("go version go1.26 linux/amd64", "1.26"),
        ("rustc 1.95.0 (59807616e 2026-04-14)", "1.95.0"),
    ],
)
def test_a_version_is_found_in_a_programs_output(printed: str, version: str) -> None:
    assert version_in(printed) == version


def test_no_number_is_no_version() -> None:
    assert version_in("command not found") is None


@pytest.mark.parametrize(
    ("version", "rule", "expected"),
    [
        ("1.39.3", ">=1.39.3,<1.40", True),
        ("1.39.10", ">=1.39.3,<1.40", True),
        ("1.39.2", ">=1.39.3,<1.40", False),
        ("1.40.0", ">=1.39.3,<1.40", False),
        ("13.9.1", ">=11,<14", True),
        ("14.0.0", ">=11,<14", False),
    ],
)
def test_a_version_will_do_when_the_rule_accepts_it(version: str, rule: str, expected: bool) -> None:
    assert will_do(version, rule) is expected
