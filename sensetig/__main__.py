"""``sensetig COMMAND``: every module in ``sensetig.cli`` is a command, imported only when it is called."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import click

from collectors import __version__
from sensetig import cli as commands
from sensetig.errors import OperatorError, SiteError
from sensetig.output import standard_output

#: Command -> the extra of the package that provides its libraries; other commands need only the base package.
_EXTRAS = {
    "calibrate": "calibration",
    "camera": "camera",
    "certificate": "enrolment",
    "engines": "engines",
    "enrol": "enrolment",
    "outbox": "outbox",
    "report": "report",
    "revoke": "enrolment",
}


class Commands(click.Group):
    """A group whose commands are the modules of :mod:`sensetig.cli`."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command from the shell, or from a test."""
        with standard_output():
            return super().main(*args, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, sorted."""
        del ctx
        return sorted(module.name.replace("_", "-") for module in iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None if there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f"sensetig.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error is printed as one sentence, with status 1."""
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            raise click.ClickException(_with_links(str(error))) from None
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("", "collectors", "sensetig"):
                raise
            raise click.ClickException(_missing(ctx.invoked_subcommand or "", error.name or "")) from None


def _with_links(message: str) -> str:
    """The message with links to the pages of this installation's documentation."""
    from sensetig import site
    from sensetig.documentation import PAGE, linked

    if not PAGE.search(message):
        return message
    try:
        return linked(message, site.load().documentation_url)
    except SiteError:  # the files in the checkout do as well
        return message


def _missing(command: str, library: str) -> str:
    extra = _EXTRAS.get(command)
    package = f"sensetig[{extra}]" if extra else "sensetig"
    return f"sensetig {command} needs the library {library}, which is not installed: run pip install '{package}'" + (
        f", or add {extra} to collectors_extras where the playbook installs it" if extra else ""
    )


@click.group(cls=Commands, context_settings={"auto_envvar_prefix": "SENSETIG", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sensetig")
def main() -> None:
    """Monitor Raspberry Pis: Sense HAT, camera and system, in InfluxDB and Grafana."""


if __name__ == "__main__":
    main(prog_name="sensetig")
