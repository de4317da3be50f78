"""The commands of ``sensetig``: one module a command, found by its name, each defining ``command``."""
