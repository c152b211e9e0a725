"""Everything that the command line draws.

- `screen.py` writes to stdout and stderr. `formats.py` writes numbers, times and texts for people, `wording.py` steps,
  verdicts and decisions.
- `table.py` draws every table; `runs_table.py`, `budget_table.py`, `breakers_table.py`, `guards_table.py` and
  `pauses_table.py` make the rows of one.
- `run_header.py` and `tree.py` draw `seawall show`, `why_report.py` draws `seawall why`, `outcome.py` the end of a run,
  `progress.py` a run as it happens.
- `json_output.py` builds the documents of `--json`.
"""
