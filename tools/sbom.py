"""Write the software bill of materials (SBOM): every library that an installation can have, in CycloneDX's JSON.

``python -m tools.sbom`` is ``make sbom``. The same pinned versions give the same file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "dist" / "sensetig.cdx.json"


def build(target: Path, requirements: Path = ROOT / "requirements" / "all.txt") -> None:
    """Write the SBOM of a requirements file, and validate it against CycloneDX's schema.

    Raises click.ClickException if it is not valid or cannot be built.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            sys.executable, "-m", "cyclonedx_py", "requirements", "--pyproject", ROOT / "pyproject.toml",
            "--mc-type", "application", "--output-reproducible", "--validate", "--of", "JSON", "-o", target,
            requirements,
        ],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise click.ClickException(f"the SBOM of {requirements} cannot be built: {done.stderr.strip()[-500:]}")


@click.command()
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), default=SBOM, help="Where to write it.")
def main(file: Path) -> None:
    """Write the software bill of materials."""
    build(file)
    click.echo(f"wrote {file}")


if __name__ == "__main__":
    main()
