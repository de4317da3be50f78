"""``python -m collectors NAME``: see :mod:`collectors.core.cli`."""

from __future__ import annotations

import sys

from collectors.core.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
