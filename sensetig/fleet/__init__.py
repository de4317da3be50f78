"""The fleet at a glance: one line a device, for a terminal."""
