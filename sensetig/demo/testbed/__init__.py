"""Engines on this machine, on loopback, in a state folder: what the demo and the integration tests start."""
