"""The bundle's alert rules, evaluated without Grafana.

Grafana stores the history of alerts in its own database and only while it runs, and a hub may have no Grafana. A report
names the alerts of any period from the points in InfluxDB, so it evaluates the provisioned rules itself; the tests do
the same on a real InfluxDB where no Grafana is installed. Only rules of the bundle's form are supported: one InfluxQL
query, the last number of each series, and one threshold. A rule of another form is listed in the report with the reason
why it is not evaluated.
"""
