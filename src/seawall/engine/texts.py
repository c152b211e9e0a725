"""Texts at the gate: finds which text a hand-off's task holds, and of which text an answer is a version."""

from __future__ import annotations

from msgspec.structs import replace

from seawall.core.events import StepDone
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.step import Step


def note_task(step: Step, bodies: Bodies, causes: Causes) -> Step:
    """Returns a hand-off with the text of which its task holds a version; any other step unchanged."""
    if step.kind != "handoff" or step.input is None:
        return step
    about = causes.find_text(bodies.text(step.input))
    return replace(step, about=about) if about else step


def note_answer(done: StepDone, bodies: Bodies, causes: Causes) -> StepDone:
    """Returns a result with the text of which its answer is a version, and whether the answer says nothing new."""
    if done.answer is None:
        return done
    told = causes.compare_answer(done, bodies)
    return replace(done, version_of=told.version_of, rewrites=told.rewrites) if told.version_of else done
