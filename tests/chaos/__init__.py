"""A seeded fault harness: real engines, real faults, and an exact account of every point.

A draw is a topology and one or two faults, all chosen by its seed. The sources write numbered samples and keep a ledger
of them. After the faults, each sample in the ledger must be in InfluxDB exactly once, or be counted as refused or
damaged, or lie within the bound that docs/explanation/durability.md states.
"""
