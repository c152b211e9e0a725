"""What `seawall wrap` knows of a framework: how it is recognised, and what finds its parts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from seawall.wrap.finding import FrameworkName
from seawall.wrap.inspection import Inspection


class Framework(msgspec.Struct, frozen=True, kw_only=True):
    """One framework."""

    name: FrameworkName
    packages: tuple[str, ...]
    """Imports by which a file is known to use it."""
    requirement: str
    """What its adapter needs, as pip takes it."""
    find: Callable[[Inspection], None]
    """Adds its parts to an inspection, and the lines that put them behind the gate."""
