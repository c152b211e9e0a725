"""What Seawall does in a process that was forked while it was at work: nothing, for its owner is the parent."""

from __future__ import annotations

import os


def is_child_of(pid: int) -> bool:
    """Returns whether this process was forked from process `pid` after that pid was noted."""
    return os.getpid() != pid


def leave_child(pid: int) -> None:
    """Ends this process at once if it was forked from process `pid`, for example by a tool that returned in its child.

    Nothing runs at its exit, and no buffer is flushed: both are the parent's.
    """
    if os.getpid() != pid:
        os._exit(0)
