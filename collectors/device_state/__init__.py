"""The state of each device: message counts, first and last times, and whether it is still reporting.

The parts: :mod:`model` is pure, :mod:`store` defines the interface of a store, :mod:`sqlite` and :mod:`nats_kv` are its
two implementations, and :mod:`tracker` counts in memory and writes at intervals. For costs and crash safety see
docs/explanation/device-state.md.
"""
