"""Live settings that a person makes: written to the journal, and in force in this process when the call returns."""

from __future__ import annotations

from typing import cast

from seawall.core.errors import Misused
from seawall.journal.protocol import Setting, SettingKind
from seawall.runtime.modes import check_by
from seawall.runtime.supervisor import Supervisor


async def put_setting(
    supervisor: Supervisor,
    kind: SettingKind,
    name: str,
    value: str,
    by: str,
    why: str,
    for_s: float | None,
) -> None:
    """Records a setting. Raises `Misused` if `by` is empty, or if `for_s` is not above zero."""
    check_by(f"{kind} {name!r}", by)
    if not isinstance(cast("object", for_s), int | float | None) or not (for_s is None or for_s > 0):
        raise Misused(f"{kind} {name!r}: for_s is {for_s!r}; it must be a number of seconds above zero")
    now, redact = supervisor.clock.wall_s(), supervisor.make_bodies().redact
    until = None if for_s is None else now + for_s
    by, why = redact(by), redact(why)
    setting = Setting(kind=kind, name=name, value=value, by=by, why=why, at=now, until=until)
    await supervisor.journal.set(setting)
    await supervisor.inbox.refresh_settings()
