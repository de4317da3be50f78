"""What Grafana is given: dashboards as code, and the provisioning that loads them."""
