"""What goes wrong where it is decided who is trusted."""

from __future__ import annotations


class TrustError(Exception):
    """Something could not be done; the message says in one sentence why, and what to do. It never holds a secret."""
