"""Waste: a team in which an agent does what another has done, or in which a text goes round.

- `options.py`: when the guard speaks, with the reason of each default
- `guard.py`: the guard; what it judges by is folded in `seawall.run.waste`
- `messages.py`: what agents and people are told
"""

from seawall.guards.waste.guard import WasteGuard
from seawall.guards.waste.options import WasteOptions

__all__ = ["WasteGuard", "WasteOptions"]
