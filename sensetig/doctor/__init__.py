"""The state of this installation: `sensetig info`, `sensetig doctor` and `sensetig support-bundle`."""
