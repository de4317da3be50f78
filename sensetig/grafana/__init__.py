"""Setting up what no file can provision in Grafana: the account for live points, and the playlist for a wall."""
