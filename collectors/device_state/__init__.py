"""The state of each device: how much it has told, when, what last, and whether it still does.

The parts: :mod:`model` is pure, :mod:`store` says what a store does, :mod:`sqlite` and :mod:`nats_kv` are the two,
:mod:`tracker` counts in memory and writes now and then. docs/explanation/device-state.md tells of costs and crashes.
"""
