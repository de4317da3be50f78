"""InfluxDB: the client for all commands, and idempotent setup."""
