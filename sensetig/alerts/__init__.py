"""The provisioned alert rules, evaluated as Grafana does it, where there is no Grafana to ask."""
