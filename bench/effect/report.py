"""What was measured, as text."""

from __future__ import annotations

from typing import Any

from effect.bars import Measured


def table(measured: list[Measured]) -> str:
    """One block a bar."""
    lines: list[str] = []
    for each in measured:
        lines.append(f"{each.bar}: {'; '.join(each.broken) or 'holds'}")
        for name, value in each.what.items():
            if name != "writes":
                lines.append(f"    {name.replace('_', ' ')}: {_told(value)}")
    return "\n".join(lines)


def _told(value: Any) -> str:
    return (
        ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else str(value)
    )
