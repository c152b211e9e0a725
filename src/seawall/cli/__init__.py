"""The command line, one file a command.

- `app.py`: the list of commands and what becomes of their errors; `exits.py`: exit codes; `options.py`: what
  commands share; `loop.py`: Ctrl-C
- `apps.py`, `limits.py`, `journals.py`, `noting.py`: what commands are given; `screen.py`, `words.py`, `describe.py`,
  `live.py`, `tree.py`, `outcome.py`: how things are told
"""

from __future__ import annotations

from seawall.cli.app import app, main

__all__ = ["app", "main"]
