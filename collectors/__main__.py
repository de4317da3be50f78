"""``python -m collectors NAME``: see :mod:`collectors.core.cli`."""

from __future__ import annotations

import sys

from collectors.core.cli import main

if __name__ == "__main__":
    status = main(sys.argv[1:])
    if "collectors.core.native" in sys.modules:
        sys.modules["collectors.core.native"].leave(status)
    sys.exit(status)
