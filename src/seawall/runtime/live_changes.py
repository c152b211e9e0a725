"""Writes a person's live settings to the journal. They are in force in this process when the call returns."""

from __future__ import annotations

import logging
from typing import cast

from seawall.core.canonical import check_recordable, check_texts
from seawall.core.errors import Misused
from seawall.guards.pauses import check_target
from seawall.journal.protocol import Setting, SettingKind
from seawall.runtime.modes import AUTO, check_by, check_mode
from seawall.runtime.supervisor import Supervisor

_log = logging.getLogger("seawall")


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
    check_recordable(**{kind: name})
    check_texts(why=why)
    check_by(f"{kind} {name!r}", by)
    if not isinstance(cast("object", for_s), int | float | None) or not (for_s is None or for_s > 0):
        raise Misused(f"{kind} {name!r}: for_s is {for_s!r}; it must be a number of seconds above zero")
    now, redact = supervisor.clock.wall_s(), supervisor.make_bodies().redact
    until = None if for_s is None else now + for_s
    by, why = redact(by), redact(why)
    setting = Setting(kind=kind, name=name, value=value, by=by, why=why, at=now, until=until)
    await supervisor.journal.set(setting)
    await supervisor.inbox.refresh_settings()


async def put_mode(
    supervisor: Supervisor, guard: str, mode: str, by: str, why: str, for_s: float | None
) -> None:
    """Records a guard's mode. For a guard that this process does not know, it also logs a warning."""
    if mode != AUTO:
        check_mode(guard, mode)
    await put_setting(supervisor, "guard", guard, mode, by, why, for_s)
    if names := supervisor.modes.list_alternatives(guard, supervisor.factory.own_guards):
        _log.warning("guard %r was set, and this process knows only: %s", guard, ", ".join(names))


async def put_pause(supervisor: Supervisor, what: str, by: str, why: str, for_s: float | None) -> None:
    """Records a pause. Raises `Misused` for a `what` that can't be paused, and for an unknown run."""
    check_target(what)
    kind, _, name = what.partition(":")
    if kind == "run":
        await supervisor.journal.row(name)
    await put_setting(supervisor, "pause", what, "on", by, why, for_s)


async def lift_pause(supervisor: Supervisor, what: str, by: str, why: str) -> None:
    """Records the end of a pause. Raises `Misused`, which names what is paused, if there is no such pause."""
    check_target(what)
    await supervisor.inbox.refresh_settings()
    if supervisor.pauses.get(what) is None:
        paused = ", ".join(pause.what for pause in supervisor.pauses.list_pauses()) or "nothing"
        raise Misused(f"{what!r} is not paused (paused: {paused})")
    await put_setting(supervisor, "pause", what, "off", by, why, None)
