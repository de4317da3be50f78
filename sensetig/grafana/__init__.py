"""Set up the parts of Grafana that have no provisioning file: the account for live points and the wall playlist."""
