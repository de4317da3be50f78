"""The commands of ``sensetig``: one module per command, found by name, each defining ``command``."""
