"""Copies of backups on another machine: rsync over ssh, with a key that permits only that."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from sensetig.errors import BackupError

#: Seconds without an answer after which the other machine counts as away.
TIMEOUT_SECONDS = 60


def command(folder: Path, target: str, key: Path, known_hosts: Path) -> list[str]:
    """The command that copies missing backups. It removes nothing there: the other machine has its own retention.

    >>> command(Path("/b"), "pi@nas:sensetig", Path("/k"), Path("/h"))[-2:]
    ['/b/', 'pi@nas:sensetig']
    """
    ssh = [
        "ssh", "-i", str(key), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
        "-o", f"UserKnownHostsFile={known_hosts}", "-o", "ConnectTimeout=20",
    ]  # fmt: skip
    return [
        "rsync", "--recursive", "--times", "--chmod=F600,D700", "--ignore-existing", "--exclude=.*",
        f"--timeout={TIMEOUT_SECONDS}", f"--rsh={shlex.join(ssh)}", f"{folder}/", target,
    ]  # fmt: skip


def copy(folder: Path, target: str, key: Path, known_hosts: Path) -> None:
    """Copy every backup that the other machine lacks. Raises BackupError; local backups are unchanged."""
    try:
        done = subprocess.run(
            command(folder, target, key, known_hosts), capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except FileNotFoundError:
        raise BackupError("rsync is not there, which copies backups to another machine: install rsync") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        raise BackupError(
            f"the backup is made, and could not be copied to {target}: {said} (rsync ended with {done.returncode}); "
            "the next backup takes it along"
        )
