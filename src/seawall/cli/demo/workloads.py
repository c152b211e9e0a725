"""Starts the runs of a scene and brings them to an end: all at once, or through an overload, a pause, a crowd, a
crash or an approval.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence

from seawall.cli.demo.context import TEAM_MODULE, SceneContext, format_attribute
from seawall.cli.demo.many_run_scenes import PAID_BEFORE
from seawall.cli.demo.memory_scenes import SHOP
from seawall.cli.demo.places import JOURNAL, get_receipt_path, write_receipt
from seawall.cli.demo.scene import Request, Workload
from seawall.cli.demo.scripts import list_orders, list_receipts
from seawall.cli.demo.signers import make_signers
from seawall.cli.demo.single_run_scenes import SIGNERS
from seawall.core.errors import Broken, Refused
from seawall.history.origins import find_origins
from seawall.journal.protocol import RunFilter
from seawall.lint import lint
from seawall.run.outcome import Outcome, Waiting
from seawall.runtime.approval_views import Approval
from seawall.runtime.run import Run
from seawall.team.team import Team

Rests = Sequence[Outcome | Waiting]

BETWEEN_S = 0.005
"""Seconds between two requests that come one after another."""
STORM_AFTER = 100
"""Model calls after which the overload begins, so that runs are in the middle of their work."""
STORM_FAILS = 40
"""Runs that fail in the overload if nothing protects them. Of 64 runs at most 20 are done before it, because each
needs five model calls."""
TRIES = 10_000
"""The most tries of a client that is told to come back. Three or four are enough unless the machine stands still."""
REFUND_TOOL = "tool:refund"


async def run_workload(context: SceneContext) -> Rests:
    """Starts the runs of the scene, and returns how each ended or what it waits for."""
    return await _WORKLOADS[context.scene.workload](context)


async def _run_all_at_once(context: SceneContext) -> Rests:
    """Starts every request at the same time."""
    runs = await asyncio.gather(*(context.start(request) for request in context.scene.requests))
    return await asyncio.gather(*(run.rest() for run in runs))


async def _run_after_lint(context: SceneContext) -> Rests:
    """Lints the team as `seawall lint` does, counts the findings, and runs the team in any case."""
    for found in lint(context.get_team()).findings:
        if not found.waived:
            context.figures[found.code] = context.figures.get(found.code, 0) + 1
    return await _run_all_at_once(context)


async def _run_with_slow_carrier(context: SceneContext) -> Rests:
    """Starts every request at the same time. Where the deadline is enforced, the carrier answers only after all have ended.

    The carrier is slower than the deadline anyway. But if the machine stands still long enough, the slow answer and the
    deadline come at the same moment.
    """
    if context.modes["deadline"] == "enforce":
        context.world.hold_carrier()
    rests = await _run_all_at_once(context)
    context.figures["unanswered"] = context.world.count_unanswered("track_parcel")
    return rests


async def _start_one_by_one(context: SceneContext, requests: Sequence[Request]) -> list[Run]:
    runs: list[Run] = []
    for request in requests:
        runs.append(await context.start(request))
        await context.clock.sleep(BETWEEN_S)
    return runs


async def _run_through_overload(context: SceneContext) -> Rests:
    """Overloads the model's provider in the middle of the runs.

    Where guards only observe, the overload lasts until `STORM_FAILS` runs have failed. Where they enforce, it lasts for
    the same time.
    """
    world, clock = context.world, context.clock
    world.set_trouble("provider_down", replies=STORM_AFTER)
    starting = asyncio.get_running_loop().create_task(_start_one_by_one(context, context.scene.requests))
    await context.wait_until(lambda: world.count_replies_during("provider_down") > 0, "the overload")
    began = clock.monotonic_s()
    runs = await starting
    if context.mode == "observe":
        resting = [asyncio.ensure_future(run.rest()) for run in runs]
        await _wait_for_failures(resting, STORM_FAILS)
        context.trouble_s.set_result(clock.monotonic_s() - began)
        world.set_trouble("none")
        return await asyncio.gather(*resting)
    await clock.sleep(await context.trouble_s - (clock.monotonic_s() - began))
    breaker = context.sea.endpoints[f"model:{context.scene.format_model(context.mode)}"].breaker
    await context.wait_until(lambda: breaker.phase.openings > 0, "the breaker")
    context.figures["openings"] = breaker.phase.openings
    world.set_trouble("none")
    rests = await asyncio.gather(*(run.rest() for run in runs))
    context.figures["closed"] = int(breaker.phase.state == "closed")
    return rests


async def _wait_for_failures(resting: Sequence[asyncio.Future[Outcome | Waiting]], wanted: int) -> None:
    """Waits until this many runs have failed, or all have ended."""
    failed = 0
    for each in asyncio.as_completed(resting):
        rest = await each
        failed += isinstance(rest, Outcome) and rest.status == "failed"
        if failed == wanted:
            return


async def _run_through_pause(context: SceneContext) -> Rests:
    """Lets some runs pay, and keeps the others about to pay while the bank asks to wait.

    Where guards are enforced, somebody pauses refunds, and lifts that when every run has ended or waits. The carrier
    keeps the runs that are about to pay waiting until the pause is set.
    """
    world, sea, requests = context.world, context.sea, context.scene.requests
    first = await _start_one_by_one(context, requests[:PAID_BEFORE])
    await asyncio.gather(*(run.outcome() for run in first))
    world.hold_carrier()
    others = await _start_one_by_one(context, requests[PAID_BEFORE:])
    await context.wait_until(lambda: world.count_unanswered("track_parcel") > 0, "a run that is about to pay")
    world.set_trouble("held")
    if context.mode == "enforce":
        await sea.pause(REFUND_TOOL, by="ops", why="the bank asked us to wait")
    world.release_carrier()
    rests = await asyncio.gather(*(run.rest() for run in others))
    context.figures["parked"] = sum(isinstance(rest, Waiting) and rest.kind == "pause" for rest in rests)
    world.set_trouble("none")
    if context.mode == "enforce":
        await sea.unpause(REFUND_TOOL, by="ops")
    return await asyncio.gather(*(run.outcome() for run in (*first, *others)))


async def _run_in_crowd(context: SceneContext) -> Rests:
    """Starts every request at once; a client that is told to come back later does so.

    The carrier answers no call until all clients have come and, in the mode without admission, it has had one call too
    many. Otherwise the clients of a slow machine would come one after the other.
    """
    came = 0

    async def play_client(request: Request) -> Outcome | Waiting:
        nonlocal came
        for number in range(TRIES):
            try:
                run = await context.start(request)
            except Refused as refused:
                if refused.retry_after_s is None:
                    raise
                context.figures["shed"] += 1
                came += number == 0
                await context.clock.sleep(refused.retry_after_s)
            else:
                came += number == 0
                return await run.rest()
        raise Broken(f"scene {context.scene.name!r}: a client was turned away {TRIES} times")

    def is_crowded() -> bool:
        all_came = came == len(context.scene.requests)
        return all_came and (context.mode == "enforce" or context.world.count_turned_away() > 0)

    context.figures["shed"] = 0
    context.world.hold_carrier()
    clients = asyncio.gather(*(play_client(request) for request in context.scene.requests))
    await context.wait_until(is_crowded, "a crowd")
    context.world.release_carrier()
    return await clients


async def _run_through_crash(context: SceneContext) -> Rests:
    """Starts a child process, kills it while the world holds its call, and resumes the run in this process."""
    run_id = await _kill_child(context)
    run = await context.sea.resume(run_id, context.get_team())
    rest = await run.rest()
    if isinstance(rest, Waiting):
        path = get_receipt_path(context.directory, context.scene.name, context.mode)
        write_receipt(path, context.world, list_orders(context.scene.request)[0])
    return [rest]


async def _run_through_approval(context: SceneContext) -> Rests:
    """Kills the child that runs the first request, in the world's call or while its run waits for people.

    The people decide in this process, and a worker process goes on with the run. Then this process makes the second
    request.
    """
    world, figures = context.world, context.figures
    run_id = await _kill_child(context)
    figures["paid_at_kill"] = len(world.list_payments())
    worker = await _start_worker(context)
    try:
        await _sign_off(context, run_id)
        await context.wait_until(worker.done, "the worker")
    finally:
        worker.cancel()
    first = await (await context.sea.attach(run_id)).rest()
    run = await context.start(context.scene.requests[1], session=f"{context.session}-again")
    rests = [first, await run.rest()]
    asked = [await context.sea.approvals(run=rest.run, state=None) for rest in rests]
    figures["asked"] = sum(map(len, asked))
    figures["receipts"] = len({receipt for rest in rests for receipt in list_receipts(_get_answer(rest))})
    return rests


async def _run_through_rogue(context: SceneContext) -> Rests:
    """Plays the three runs in turn. A person who is asked reverts what the second run has written to memory."""
    sea, figures = context.sea, context.figures
    _, rogue, request = context.scene.requests
    before = [await (await context.start(each)).rest() for each in context.scene.requests[:2]]
    run = await context.start(request)
    rests = [await run.rest(), *before]
    for approval in await sea.approvals(run=run.id):
        figures["asked"] = int("1043" in approval.arguments_text)
        rests = [
            *await _take_back(context, before[1].run, approval, context.get_team(rogue.tenant)),
            *rests[1:],
        ]
        rests.append(await run.rest())
    figures["wrong"] = sum(order != "1042" for order in context.world.list_paid_orders())
    return rests


async def _take_back(context: SceneContext, rogue: str, approval: Approval, team: Team) -> Rests:
    """Reverts the step that `why` leads to, starts the run again, and approves its proposal. Returns how it ended."""
    sea, figures = context.sea, context.figures
    origins = await find_origins(
        sea.journal, approval.run, await sea.journal.events(approval.run), [approval.step]
    )
    source = next((each for each in origins if each.tie == "value" and each.entry), None)
    figures["led"] = int(source is not None and source.from_run == rogue)
    if source is None or source.from_step is None:
        return []
    keys = await make_signers(sea.journal, context.directory, context.clock.wall_s())
    key = keys[SIGNERS[0]]
    memory = sea.memory(tenant=context.scene.format_tenant(SHOP, context.mode))
    plan = await memory.revert(run=source.from_run, step=source.from_step)
    await plan.apply(credential=key)
    figures["removed"] = len(plan.removes)
    figures["restored"] = sum(entry.value == "1042" for entry in await memory.show())
    again = await plan.rerun([team])
    for run in again:
        await run.rest()
        for asked in await sea.approvals(run=run.id):
            await sea.approve(asked.id, hash=asked.hash, credential=key)
    return [await run.rest() for run in again]


def _get_answer(rest: Outcome | Waiting) -> str:
    return (rest.answer or "") if isinstance(rest, Outcome) else ""


async def _sign_off(context: SceneContext, run_id: str) -> None:
    """Lets each signer approve the run's proposal, if there is one, with their own key."""
    sea, figures = context.sea, context.figures
    for approval in await sea.approvals(run=run_id):
        keys = await make_signers(sea.journal, context.directory, context.clock.wall_s())
        for name, key in keys.items():
            await sea.approve(approval.id, hash=approval.hash, credential=key)
            if name == SIGNERS[0]:
                figures["paid_after_one"] = len(context.world.list_payments())
                figures["open_after_one"] = len(await sea.approvals(run=run_id))


async def _start_worker(context: SceneContext) -> asyncio.Task[None]:
    """Starts `seawall worker` in the demo's directory, for one run of this scene's team.

    The task raises `Broken` if the worker fails, and ends the worker if it is cancelled.
    """
    scene = context.scene
    app = f"{TEAM_MODULE}:{format_attribute(scene.name, context.mode)}"
    words = ("worker", app, "--max-runs", "1", "--journal", JOURNAL)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from seawall.cli import main; main()", *words),
        cwd=context.directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )

    async def follow() -> None:
        try:
            stderr = (await process.communicate())[1]
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise Broken(f"scene {scene.name!r}: the worker failed: {_get_last_line(stderr)}")

    return asyncio.get_running_loop().create_task(follow())


async def _kill_child(context: SceneContext) -> str:
    """Starts the child process, kills it at the scene's call, and returns its run. Raises `Broken` if it ends by itself."""
    scene, world = context.scene, context.world
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "seawall.cli.demo.child",
        *(str(context.directory), scene.name, context.mode, str(context.pace_s)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    ending = asyncio.get_running_loop().create_task(child.communicate())

    async def is_time() -> bool:
        return ending.done() or world.has_held_call() or await _find_run(context, "waiting") is not None

    try:
        await context.wait_until_recorded(is_time, "the child's call")
    finally:
        if child.returncode is None:
            child.kill()
        stderr = (await ending)[1]
    run_id = await _find_run(context)
    if child.returncode is None or child.returncode >= 0 or run_id is None:
        last = _get_last_line(stderr)
        raise Broken(f"scene {scene.name!r}: the child was to be killed in call {scene.kill_at}: {last}")
    context.kill = (-child.returncode, world.count_calls())
    return run_id


async def _find_run(context: SceneContext, state: str | None = None) -> str | None:
    """Returns the scene's first run; None if there is none, or it is in another state."""
    rows = await context.sea.journal.runs(RunFilter(session=context.session))
    return next((row.run for row in rows if state in (None, row.state)), None)


def _get_last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


_WORKLOADS: Mapping[Workload, Callable[[SceneContext], Awaitable[Rests]]] = {
    "all_at_once": _run_all_at_once,
    "slow_carrier": _run_with_slow_carrier,
    "overload": _run_through_overload,
    "pause": _run_through_pause,
    "crowd": _run_in_crowd,
    "crash": _run_through_crash,
    "approval": _run_through_approval,
    "rogue": _run_through_rogue,
    "lint": _run_after_lint,
}
