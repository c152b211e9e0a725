"""Loops: an agent that goes on and learns nothing new.

- `options.py`: what counts as a loop, with the reason and the measurement of each default
- `guard.py`: the guard, a fold over the run's events
- `memory.py`: what it remembers
- `rules.py`: no news, errors in a row, writes made again, polls, cycles, delegations, write storms
- `words.py`: what it says to agents and to people
"""

from seawall.guards.loops.guard import Loops
from seawall.guards.loops.options import LoopOptions

__all__ = ["LoopOptions", "Loops"]
