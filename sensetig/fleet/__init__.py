"""The fleet at a glance: one line per device, for a terminal."""
