"""The reference pages: the code's declarations as Markdown. :mod:`sensetig.cli.reference` writes them."""
