"""What Telegraf runs on the Pi: one module (or package) a collector, found by its name."""

__version__ = "0.1.0"
