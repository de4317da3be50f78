"""The collectors, which Telegraf runs on the Pi: one module (or package) per collector, found by name."""

__version__ = "0.1.0"
