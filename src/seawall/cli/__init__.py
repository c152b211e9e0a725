"""The command line.

- `commands/` has one file for each command. `render/` draws: tables, the step tree, progress and JSON. `demo/` is the
  order desk of `seawall demo`.
- `app.py` lists the commands and turns errors into exit codes (`exits.py`). `options.py` has the options that commands
  share, `streams.py` has stdout and stderr, `help_text.py` lays help out, `signals.py` handles Ctrl-C,
  `hints.py` writes the commands that a person may type next.
- `request_text.py` reads a request and `times.py` a point in time; `loading.py` imports a team, `limits_file.py`
  reads limits, `journals.py` opens a journal.
- `resuming.py` goes on with interrupted runs, `decisions.py` sends what a person decides, `name_check.py` warns of
  names that no run has used, `spending.py` computes what is left of a budget.
"""

from __future__ import annotations

from seawall.cli.app import app, main

__all__ = ["app", "main"]
