"""The collectors `pi` and `system` on a Raspberry Pi 3B that QEMU emulates, with Debian's kernel and device tree."""

from __future__ import annotations

import pytest

from tests.lab.guest import Guest
from tests.lab.machines import CARD_BYTES, once

MODEL = "Raspberry Pi 3 Model B"

#: Temperature of the processor that QEMU emulates, and the digits of its converter.
CELSIUS, TOLERANCE = 25.0, 1.0


@pytest.fixture(scope="module")
def pi(raspberry_pi: Guest) -> Guest:
    """The machine with its drivers loaded."""
    raspberry_pi.sh("modprobe --all bcm2835 bcm2835_thermal mmc_block sdhci-iproc")
    return raspberry_pi


def test_pi_reports_the_board_of_the_device_tree_without_an_error(pi: Guest) -> None:
    assert pi.sh("cat /proc/device-tree/model").rstrip("\0") == MODEL
    batch, done = once(pi, "pi")
    fields = batch.fields("pi", model=MODEL)
    assert fields["cpu_celsius"] == pytest.approx(CELSIUS, abs=TOLERANCE)
    assert (batch.own["errors"], batch.own["up"]) == (0, 1), done.stderr


def test_pi_reports_the_card(pi: Guest) -> None:
    pi.sh("test -b /dev/mmcblk0 && dd if=/dev/zero of=/dev/mmcblk0 bs=4096 count=256 conv=fsync")
    batch, done = once(pi, "pi")
    card = batch.fields("sd_card", device="mmcblk0")
    assert card["written_bytes"] == 256 * 4096, done.stderr
    assert int(pi.sh("cat /sys/block/mmcblk0/size")) * 512 == CARD_BYTES


def test_system_reports_the_numbers_of_the_kernel(pi: Guest) -> None:
    batch, done = once(pi, "system")
    assert (batch.own["errors"], batch.own["up"]) == (0, 1), done.stderr
    kilobytes = int(pi.sh("grep MemTotal /proc/meminfo").split()[1])
    assert batch.fields("mem")["total"] == kilobytes * 1024
    assert batch.fields("system")["n_cpus"] == 4
    uptime = float(pi.sh("cat /proc/uptime").split()[0])
    assert 0 < float(batch.fields("system")["uptime"]) <= uptime
