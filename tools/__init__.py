"""Checks that ``make lint`` runs on the project's texts and commits."""
