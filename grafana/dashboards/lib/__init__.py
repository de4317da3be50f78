"""What every row is built from: queries, panels, units, thresholds, boards."""
