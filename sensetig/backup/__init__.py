"""Backups of a hub: InfluxDB with all its data and tokens, settings and secrets, Grafana, the state of devices."""
