"""All scenes, in the order in which they are numbered and played. The first six tell the story; the last is not caught."""

from __future__ import annotations

from seawall.cli.demo import many_run_scenes as many
from seawall.cli.demo import memory_scenes as memory
from seawall.cli.demo import roles_scenes as roles
from seawall.cli.demo import single_run_scenes as single
from seawall.cli.demo.scene import Scene

STORY: tuple[Scene, ...] = (
    single.ERROR,
    many.TENANT,
    single.PRUNED,
    single.UNKNOWN,
    single.SIGNED,
    memory.ROGUE,
)
"""What `seawall demo` plays without options: a loop, a budget, a deadline, a crash with an effect in doubt, a refund that two
people approve, and an invention in memory that is taken back."""

SCENES: tuple[Scene, ...] = (
    *STORY,
    single.UNDO,
    roles.ROLES,
    roles.CLAIMED,
    many.STORM,
    single.GOOD,
    single.PING_PONG,
    single.HEED,
    single.WRITES,
    single.FAN_OUT,
    single.SLOW,
    single.CRASH,
    roles.ARGUE,
    many.PAUSE,
    many.CROWD_SCENE,
    single.WRONG,
)

NAMES = tuple(scene.name for scene in SCENES)


def get_scene(name: str) -> Scene:
    """Returns the scene of that name. Raises `KeyError`."""
    return {scene.name: scene for scene in SCENES}[name]


def get_number(name: str) -> int:
    """Returns a scene's number, from 1. It is the same wherever the scene is shown. Raises `ValueError`."""
    return NAMES.index(name) + 1
