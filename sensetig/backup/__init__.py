"""Backups of a hub: InfluxDB with all data and tokens, settings and secrets, Grafana, and the state of devices."""
