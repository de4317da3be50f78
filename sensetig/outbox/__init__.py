"""A durable queue between Telegraf and InfluxDB.

Telegraf writes to the outbox as it would to InfluxDB. The outbox acknowledges points once they are stored in InfluxDB
or on this machine's disk, and delivers them to InfluxDB: it retries, isolates points that InfluxDB rejects, and counts
every point exactly once. docs/explanation/outbox.md describes its states and bounds.
"""
