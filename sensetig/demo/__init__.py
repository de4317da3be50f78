"""The whole bundle on this machine: real engines on loopback, with a separate state folder."""
