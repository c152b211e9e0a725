"""People: they decide what runs wait for, cancel, pause, and set guards, from a process that runs nothing."""

from __future__ import annotations

import asyncio
import random

import msgspec

from seawall import Broken, Misused, Refused, Seawall, SeawallBug
from seawall.core.clock import SystemClock
from seawall.core.errors import describe_error
from seawall.history.recorded import read_waits
from seawall.journal.protocol import Command, RunFilter
from seawall.run.commands import find_effect_in_doubt
from seawall.run.outcome import Waiting
from torture.cases import make_case
from torture.notes import Notes, Ordered, Problem, Tried
from torture.place import Place, make_seawall, open_journal
from torture.world import Question, WorldLost, call_world

APPROVE = 0.75


class Person:
    """One life of a person's process."""

    def __init__(self, place: Place, life: int, rng: random.Random | None = None) -> None:
        self._place = place
        self._life = life
        self._rng = rng or place.rng(f"person-{life}")
        self._clock = SystemClock()
        self._notes = Notes(place.notes("person"))
        self._count = 0

    async def live(self) -> None:
        """Decides and meddles until it is killed."""
        try:
            journal = open_journal(self._place)
        except Broken:
            return
        async with make_seawall(journal, self._notes) as sea:
            while True:
                try:
                    await self.decide_all(sea, share=0.5)
                    if self._rng.random() < 0.25:
                        await self._meddle(sea)
                except (Refused, Broken):
                    pass
                except SeawallBug as error:
                    self._notes.write(Problem(text=f"person: {describe_error(error)}"))
                await self._clock.sleep(self._rng.uniform(0.05, 0.3))

    def _sign(self) -> str:
        """Returns a name that stands in the journal once."""
        self._count += 1
        by = f"person:{self._life}.{self._count}"
        self._notes.write(Tried(by=by))
        return by

    async def decide_all(self, sea: Seawall, *, share: float = 1.0) -> None:
        """Decides on a share of all that waits, except for the cases that are left to wait."""
        for row in await sea.journal.runs(RunFilter(state="waiting"), limit=10_000):
            state = await sea.state(row.run)
            case = make_case(self._place.seed, state.started.request_id or "")
            if "f" in case.flags:
                continue
            for wait in await read_waits(sea.journal, row.run):
                if wait.kind != "pause" and self._rng.random() < share:
                    await self._decide(sea, wait)

    async def _decide(self, sea: Seawall, wait: Waiting) -> None:
        approve = self._rng.random() < APPROVE
        receipt: str | None = None
        effect: int | None = None
        if wait.kind == "unknown":
            state = await sea.state(wait.run)
            approval = state.open.get(wait.step)
            effect = None if approval is None else find_effect_in_doubt(state, approval)
            if effect is None:
                return
            key = next(f"{wait.run}:{each.key}" for each in state.effects if each.step == effect)
            try:
                answer = await call_world(self._place.socket, Question(key=key))
            except WorldLost:
                return
            approve, receipt = bool(answer.reply), answer.reply or None
        by = self._sign()
        try:
            if wait.kind != "unknown":
                await sea.decide(wait.run, wait.step, approve=approve, by=by)
            elif approve:
                await sea.reconcile(wait.run, step=wait.step, committed=receipt, by=by)
            else:
                await sea.reconcile(wait.run, step=wait.step, failed="the world has not seen it", by=by)
        except (Misused, Refused):  # it went on meanwhile, or is decided and has not gone on yet
            return
        value = "approve" if approve else "reject"
        decided = Ordered(what="decide", target=wait.run, by=by, value=value, step=wait.step)
        if effect is not None:
            decided = msgspec.structs.replace(decided, what="settle", step=effect)
        self._notes.write(decided)

    async def _meddle(self, sea: Seawall) -> None:
        """Cancels a run, or pauses or sets something for a moment."""
        choice = self._rng.choice(("cancel", "guard", "pause", "pause"))
        by = self._sign()
        if choice == "cancel":
            rows = await sea.journal.runs(limit=30)
            rows = [row for row in rows if row.state != "ended"]
            if rows:
                row = self._rng.choice(rows)
                await sea.cancel(row.run, Command(kind="cancel", by=by))
                self._notes.write(Ordered(what="cancel", target=row.run, by=by))
        elif choice == "guard":
            guard = self._rng.choice(("loops", "held"))
            mode = "enforce" if guard == "held" else self._rng.choice(("observe", "enforce", "auto"))
            await sea.set_guard(guard, mode, by=by, for_s=self._rng.choice((None, 0.5)))
            self._notes.write(Ordered(what="guard", target=guard, by=by, value=mode))
        else:
            what = self._rng.choice(("tool:notify", "agent:clerk", "tenant:bolt", "tool:track"))
            await sea.pause(what, by=by, for_s=self._rng.uniform(0.1, 0.8))
            self._notes.write(Ordered(what="pause", target=what, by=by, value="on"))


async def verify(place: Place) -> None:
    """Checks the journal while others write to it, and notes what is bad."""
    notes = Notes(place.notes("verifier"))
    try:
        journal = open_journal(place)
    except Broken:
        return
    try:
        found = await journal.verify()
        if found.bad is not None:
            notes.write(Problem(text=f"verify: {found.bad}"))
        else:
            notes.write(Tried(by="verified"))
    except Broken:
        await asyncio.sleep(0)
    finally:
        await journal.close()
