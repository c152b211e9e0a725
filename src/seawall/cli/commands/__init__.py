"""One file for each command of `seawall`, named like the command; `pause.py` holds `unpause` too."""
