"""Loops: an agent that goes on and learns nothing new.

- `options.py`: what counts as a loop, with the reason and the measurement of each default
- `guard.py`: the guard, a fold over the run's events
- `state.py`: what it remembers, and what each counter means
- `rules.py`: the rules: repeats, errors in a row, writes made again, polls, write storms
- `cycles.py`: the rule of calls that come again and again; `rounds.py`: the same with other calls in between
- `delegations.py`: the rule of tasks that are handed over again
- `findings.py`: what a rule finds
- `turns.py`: the rules of model calls from which nothing came: useless replies, calls that can't be made or are refused
- `messages.py`: what agents and people are told
"""

from seawall.guards.loops.guard import Loops
from seawall.guards.loops.options import LoopOptions

__all__ = ["LoopOptions", "Loops"]
