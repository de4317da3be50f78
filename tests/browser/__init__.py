"""Every dashboard in a real Grafana and a real browser, for six kinds of device, in three widths and two themes."""
