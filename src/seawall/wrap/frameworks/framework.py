"""What `seawall wrap` knows of a framework: how it is recognised, and the function that finds its parts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from seawall.wrap.finding import FrameworkName
from seawall.wrap.inspection import Inspection


class Framework(msgspec.Struct, frozen=True, kw_only=True):
    """One framework."""

    name: FrameworkName
    packages: tuple[str, ...]
    """Packages whose import shows that a file uses the framework."""
    requirement: str
    """The requirement of its adapter, as pip takes it."""
    find: Callable[[Inspection], None]
    """Adds the framework's parts to an inspection, and the lines that put them behind the gate."""
