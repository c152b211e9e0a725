"""`python -m seawall.cli.demo`: the same as `seawall demo`."""

from __future__ import annotations

import typer

from seawall.cli.commands.demo import demo

if __name__ == "__main__":
    typer.run(demo)
