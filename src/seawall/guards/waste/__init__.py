"""Waste: a team in which an agent repeats another agent's work, or in which a text is rewritten again and again.

- `options.py`: when the guard acts, with the reason of each default
- `guard.py`: the guard; the state by which it judges is folded in `seawall.run.waste`
- `messages.py`: what agents and people are told
"""

from seawall.guards.waste.guard import WasteGuard
from seawall.guards.waste.options import WasteOptions

__all__ = ["WasteGuard", "WasteOptions"]
