"""InfluxDB: the client that every command uses, and setting it up, repeatedly to the same end."""
