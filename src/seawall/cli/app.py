"""Lists the commands, and turns their errors into one line and an exit code, never a traceback."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from seawall.cli.commands.approvals import approvals
from seawall.cli.commands.approve import approve
from seawall.cli.commands.audit import audit
from seawall.cli.commands.backup import backup
from seawall.cli.commands.breakers import breakers
from seawall.cli.commands.budget import budget
from seawall.cli.commands.cancel import cancel
from seawall.cli.commands.context import context
from seawall.cli.commands.demo import demo
from seawall.cli.commands.effects import effects
from seawall.cli.commands.erase import erase
from seawall.cli.commands.fork import fork
from seawall.cli.commands.guards import guards
from seawall.cli.commands.lint import lint
from seawall.cli.commands.mcp import mcp
from seawall.cli.commands.memory import memory
from seawall.cli.commands.pause import pause, unpause
from seawall.cli.commands.principals import principals
from seawall.cli.commands.probe_reviewer import probe_reviewer
from seawall.cli.commands.proxy import proxy
from seawall.cli.commands.prune import prune
from seawall.cli.commands.reconcile import reconcile
from seawall.cli.commands.reject import reject
from seawall.cli.commands.replay import replay
from seawall.cli.commands.resume import resume
from seawall.cli.commands.roles import roles
from seawall.cli.commands.run import run
from seawall.cli.commands.runs import runs
from seawall.cli.commands.show import show
from seawall.cli.commands.verify import verify
from seawall.cli.commands.why import why
from seawall.cli.commands.worker import worker
from seawall.cli.commands.wrap import wrap
from seawall.cli.exits import HELP, Exit, get_error_code
from seawall.cli.help_text import HelpfulCommand
from seawall.cli.hints import complete_commands, explain_damage
from seawall.cli.streams import READER_GONE, open_streams
from seawall.core.errors import Broken, JournalDamaged, SeawallBug, SeawallError


class Commands(TyperGroup):
    """The group of commands. It turns an error into a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        from seawall.cli.signals import CommandInterrupted

        try:
            return super().invoke(ctx)
        except SeawallError as error:
            _print_error(error, debug=bool(ctx.params.get("debug")))
            if isinstance(error, JournalDamaged):
                verified = ctx.invoked_subcommand == "verify"
                typer.echo(f"seawall: {explain_damage(verified=verified)}", err=True)
            raise typer.Exit(get_error_code(error)) from None
        except OSError as error:
            if error.filename is None:  # the error is about no file
                raise
            _print_error(Broken(f"{error.filename}: {error.strerror}"), debug=bool(ctx.params.get("debug")))
            raise typer.Exit(Exit.BROKEN) from None
        except CommandInterrupted as interrupted:
            typer.echo(f"seawall: interrupted; {interrupted}", err=True)
            raise typer.Exit(interrupted.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("\nseawall: interrupted before anything was started", err=True)
            raise typer.Exit(Exit.INTERRUPTED) from None


def _print_error(error: SeawallError, *, debug: bool) -> None:
    from seawall.cli.render.formats import replace_controls

    if debug:
        traceback.print_exception(error)
    typer.echo(f"seawall: {replace_controls(complete_commands(' '.join(str(error).split())))}", err=True)
    if isinstance(error, SeawallBug) and not debug:
        typer.echo(
            "seawall: this is a bug of Seawall, please report it (seawall --debug … shows where)", err=True
        )


app = typer.Typer(
    name="seawall",
    cls=Commands,
    help="Run teams of agents, and look after their runs.",
    epilog=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from seawall import __version__

        typer.echo(f"seawall {__version__}")
        raise typer.Exit


@app.callback()
def read_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run teams of agents, and look after their runs."""


PANELS = {
    "Run a team": (demo, run, worker, proxy, lint),
    "Look at runs": (runs, show, context, why, roles),
    "Go on, stop": (resume, cancel),
    "Decide": (approvals, approve, reject, effects, reconcile, principals),
    "Look after what runs share": (budget, breakers, pause, unpause, guards),
    "Try a change": (replay, fork, audit, wrap, probe_reviewer),
    "Look after the journal": (verify, backup, prune, erase),
}

for panel, commands in PANELS.items():
    for command in commands:
        app.command(cls=HelpfulCommand, rich_help_panel=panel)(command)

app.add_typer(mcp, name="mcp", rich_help_panel="Decide")
app.add_typer(memory, name="memory", rich_help_panel="Look after what runs share")


def main() -> None:
    """Runs the console script."""
    from seawall.cli.signals import exit_after_grace

    out, _ = open_streams()
    code: int = Exit.BUG
    try:
        app()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
        sys.stdout.flush()
        if out.failure is not None:
            code = _get_unread_code(code, out.failure)
        raise SystemExit(code) from None
    except KeyboardInterrupt:  # while the commands are looked up, before one of them handles signals
        code = Exit.INTERRUPTED
        raise SystemExit(code) from None
    finally:
        exit_after_grace(code)


def _get_unread_code(code: int, failure: OSError) -> int:
    """Returns the exit code of a command whose output could not be written as a whole."""
    if failure.errno in READER_GONE:
        return code or Exit.UNREAD
    typer.echo(f"seawall: the output can't be written: {failure.strerror}", err=True)
    return code or Exit.BROKEN
