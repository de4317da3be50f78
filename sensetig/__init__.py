"""What the operator runs: ``sensetig demo``, ``setup``, ``engines`` and the rest."""
