"""Budget: what a tenant may spend, in all and in a day, and what all tenants together may spend in a day.

- `options.py`: the caps that a user gives
- `guard.py`: the guard, which reserves in the journal before each call to which a cap applies
- `recorded_caps.py`: the caps as the journal has them, for every process
"""

from seawall.guards.budget.options import Budget, Caps

__all__ = ["Budget", "Caps"]
