"""Leaves out of a session's conversation the answers that rest on reverted memory.

An earlier run of the session has read and written entries, and its messages may repeat them. The next run counts as
having read these entries, so that a later revert finds it. If one of them was reverted already, only the facts of that
earlier run are shown: what the user asked, and what the run has changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.refs import refs_of
from seawall.journal.protocol import Journal
from seawall.run.bodies import Bodies
from seawall.run.frame import MessageRef
from seawall.runtime.session_facts import describe_changes
from seawall.runtime.sessions import SessionHistory
from seawall.team.context import Manifest, encode_manifest

LEFT_OUT = "[Not from the user: the answer to the request above rested on memory that a person has reverted. It does not hold."


async def leave_out_reverted(
    journal: Journal, tenant: str, history: SessionHistory, bodies: Bodies
) -> SessionHistory:
    """Returns the history without answers that rest on reverted entries, and with the numbers of the other entries."""
    runs = list(dict.fromkeys(message.run for message in history.messages if message.run))
    behind = await journal.memory_behind(runs) if runs else []
    if not behind:
        return history
    entries = await journal.memory_numbered(sorted({number for _, number in behind}))
    reverted = {entry.number for entry in entries if entry.reverted}
    tainted = {run for run, number in behind if number in reverted}
    read = tuple([entry.number for entry in entries if entry.number not in reverted])
    messages: list[MessageRef] = []
    for run, group in itertools.groupby(history.messages, key=lambda message: message.run):
        part = list(group)
        messages += await _keep_facts(journal, tenant, run, part, bodies) if run in tainted else part
    if tuple(messages) == history.messages:
        return history._replace(read=read)
    messages = [replace(message, fold=None) for message in messages]
    transcript = _write_manifests(messages, history, bodies)
    return history._replace(transcript=transcript, messages=tuple(messages), read=read)


async def _keep_facts(
    journal: Journal, tenant: str, run: str, messages: Sequence[MessageRef], bodies: Bodies
) -> list[MessageRef]:
    """Returns what the user asked in a run, and what the run has changed."""
    asked = list(itertools.takewhile(lambda message: message.role == "user", messages))
    if len(asked) == len(messages):  # the run has not completed, or its answer was left out before
        return asked
    events = await journal.events(run)
    bodies.load(await journal.bodies(tenant, bodies.missing(refs_of(events))))
    lines = [f"- {line}" for line in describe_changes(events, bodies)]
    told = "\n".join([f"{LEFT_OUT} What it has changed:]", *lines]) if lines else f"{LEFT_OUT}]"
    return [*asked, MessageRef("user", bodies.put(told), run=run)]


def _write_manifests(messages: Iterable[MessageRef], history: SessionHistory, bodies: Bodies) -> Ref | None:
    """Returns the conversation of these messages, with one manifest for each run.

    Folds are dropped, because a line that replaces many exchanges may tell of one that is left out now.
    """
    prev: Ref | None = None
    for run, group in itertools.groupby(messages, key=lambda message: message.run):
        part = tuple(replace(message, run="", fold=None) for message in group)
        manifest = Manifest(prev, part, dict(history.behind), run)
        prev = bodies.put(encode_manifest(manifest).decode())
    return prev
