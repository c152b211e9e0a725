"""The people who sign off refunds in the demo. Their keys are files in the demo's directory, and are never printed."""

from __future__ import annotations

from pathlib import Path

from seawall.cli.demo.places import get_key_path
from seawall.cli.demo.single_run_scenes import SIGNERS, SIGNING_ROLE
from seawall.effects.credentials import make_principal
from seawall.journal.protocol import Journal


async def make_signers(journal: Journal, directory: Path, now: float) -> dict[str, str]:
    """Gives each of them a key, as `seawall principals add` does. Returns the keys by name."""
    keys: dict[str, str] = {}
    for name in SIGNERS:
        record, keys[name] = make_principal(name, [SIGNING_ROLE], agent=False, now=now)
        await journal.put_principal(record)
        path = get_key_path(directory, name)
        path.touch(mode=0o600)
        path.write_text(keys[name] + "\n", encoding="utf-8")
    return keys
