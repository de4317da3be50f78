"""The whole bundle on this machine: real engines on loopback, in a state folder of their own."""
