"""Reports: one period of one device in words, charts and pictures, straight from InfluxDB."""
