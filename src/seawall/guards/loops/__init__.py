"""Loops: an agent that goes on and learns nothing new.

- `options.py`: what counts as a loop, with the reason and the measurement of each default
- `guard.py`: the guard, a fold over the run's events
- `state.py`: what it remembers, and what each counter means
- `rules.py`: the rules: repeats, errors in a row, writes made again, polls, cycles, delegations, write storms
- `rounds.py`: the rule of rounds with other calls in between
- `findings.py`: what a rule finds
- `turns.py`: the rules of model calls from which nothing came: useless replies, calls that can't be made or are refused
- `messages.py`: what agents and people are told
"""

from seawall.guards.loops.guard import Loops
from seawall.guards.loops.options import LoopOptions

__all__ = ["LoopOptions", "Loops"]
