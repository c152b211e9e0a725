"""All scenes, in the order in which they are played: those of one run, those of many, and one that is not caught."""

from __future__ import annotations

from seawall.cli.demo import alone, crowd
from seawall.cli.demo.scene import Scene

SCENES: tuple[Scene, ...] = (*alone.SCENES, *crowd.SCENES, alone.NOT_CAUGHT)

NAMES = tuple(scene.name for scene in SCENES)


def scene_named(name: str) -> Scene:
    """The scene of that name. Raises `KeyError`."""
    return {scene.name: scene for scene in SCENES}[name]
