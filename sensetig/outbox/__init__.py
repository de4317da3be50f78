"""A durable queue between Telegraf and InfluxDB.

Telegraf writes to the outbox as it would to InfluxDB. The outbox answers when the points are stored in InfluxDB or safe
on this machine's disk, and deals with InfluxDB itself: it retries, finds the points that InfluxDB refuses, and counts
every point exactly once. docs/explanation/outbox.md describes its states and bounds.
"""
