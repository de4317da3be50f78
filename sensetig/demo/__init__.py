"""The whole bundle on this machine: real engines on loopback, in a separate state folder."""
