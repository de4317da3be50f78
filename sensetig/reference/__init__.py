"""The reference pages: the declarations of the code, as Markdown. :mod:`sensetig.cli.reference` writes them."""
