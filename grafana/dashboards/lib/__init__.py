"""The building blocks of rows: queries, panels, units, thresholds, boards."""
