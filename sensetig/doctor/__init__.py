"""What this machine says of its own installation: `sensetig info`, `sensetig doctor` and `sensetig support-bundle`."""
