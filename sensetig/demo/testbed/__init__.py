"""Engines on this machine, on loopback, in a state folder, for the demo and the integration tests."""
