"""`seawall memory …`: shows what agents have remembered and where it came from, and corrects it."""

from __future__ import annotations

import typer

from seawall.cli.commands.memory.looking import conflicts, diff, export, log, show
from seawall.cli.commands.memory.putting_right import accept, gc, import_, resolve, rollback
from seawall.cli.commands.memory.reverting import forget, revert
from seawall.cli.help_text import HelpfulCommand

memory = typer.Typer(
    help="Look at what agents have remembered, and put it right.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (log, show, diff, conflicts, resolve, rollback, revert, gc, forget, export, import_, accept):
    memory.command(command.__name__.rstrip("_"), cls=HelpfulCommand)(command)
