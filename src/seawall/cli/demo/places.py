"""Paths of the files in a demo's directory."""

from __future__ import annotations

from pathlib import Path

from seawall.cli.demo.results import DemoMode
from seawall.cli.demo.scene import Scene
from seawall.cli.demo.world import World

JOURNAL = "desk.db"


def get_world_path(directory: Path, scene: Scene, mode: DemoMode) -> Path:
    """Returns the path of a world's database."""
    return directory / f"world-{scene.format_label(mode)}.db"


def get_key_path(directory: Path, name: str) -> Path:
    """Returns the path of a person's key."""
    return directory / f"{name}.key"


def get_receipt_path(directory: Path, scene: str, mode: DemoMode) -> Path:
    """Returns the path of the bank's statement on a payment whose fate is unknown."""
    return directory / f"receipt-{scene}-{mode}.json"


def write_receipt(path: Path, world: World, order_id: str) -> None:
    """Asks the bank of this world for its receipt, as a person would, and writes it to `path` if the bank has paid."""
    receipt = world.read_receipt(order_id)
    if receipt is not None:
        path.write_text(receipt.model_dump_json() + "\n", encoding="utf-8")
