"""The operator's commands: ``sensetig demo``, ``setup``, ``engines`` and the rest."""
