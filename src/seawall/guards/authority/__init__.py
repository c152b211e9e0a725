"""Authority: who may do what, and texts that claim a permission.

- `options.py`: `Authority` and `May`, the matrix as a team declares it
- `guard.py`: the guard `authority`
- `phrases.py`: which sentences claim a permission
"""

from seawall.guards.authority.guard import AUTHORITY, AuthorityGuard
from seawall.guards.authority.options import Authority, May

__all__ = ["AUTHORITY", "Authority", "AuthorityGuard", "May"]
