"""Whatever code of the user's own raises, the agent is told at once, and no run hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, model_serializer

from seawall import Agent, Guard, NotDone, Outcome, Refuse, Seawall, Team, Tool, Waiting
from seawall.core.errors import Broken
from seawall.core.events import StepDone
from seawall.models.protocol import ModelFailed, ModelReply, ModelRequest, TextDelta
from seawall.run.verdict import ALLOW
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import sent


class PanicException(BaseException):
    """As native code raises it."""


class Unprintable(BaseException):
    def __str__(self) -> str:
        raise PanicException("in __str__")

    __repr__ = __str__


class UnprintableNotDone(NotDone):
    def __str__(self) -> str:
        raise PanicException("in __str__")


class Crooked(Exception):
    """Its attributes raise."""

    @property
    def response(self) -> Any:
        raise PanicException("in response")

    @property
    def __cause__(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] -- so that reading it raises
        raise PanicException("in __cause__")


class Masked(Exception):
    """It can't be asked what it is."""

    @property
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] -- the same
        raise PanicException("in __class__")


class Sealed(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise PanicException(f"in {name}")


class Nameless(type):
    @property
    def __name__(cls) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] -- so that it is no text
        return 5


class OfNamelessKind(Exception, metaclass=Nameless):
    pass


class CrookedText(str):
    __slots__ = ()

    def __bool__(self) -> bool:
        raise PanicException("in __bool__")

    def __format__(self, spec: str) -> str:
        raise PanicException("in __format__")


class TextOfItsOwn(Exception):
    def __str__(self) -> str:
        return CrookedText("odd")


class CrookedGroup(BaseExceptionGroup[BaseException]):
    exceptions = 7  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride] -- so that it is no list

    def subgroup(self, *_: Any) -> Any:
        raise PanicException("in subgroup")


def make_deep_group() -> BaseException:
    group = ExceptionGroup("deep", [OSError("no")])
    for _ in range(5_000):
        group = ExceptionGroup("deep", [group])
    return group


def make_group() -> BaseException:
    return BaseExceptionGroup(
        "unhandled errors", [PanicException("5 seconds"), ExceptionGroup("more", [OSError("no")])]
    )


RAISED: list[tuple[Callable[[], BaseException], str]] = [
    (lambda: PanicException("unwrap on None"), "Error: PanicException: unwrap on None"),
    (lambda: SystemExit(2), "Error: SystemExit: 2"),
    (lambda: GeneratorExit("over"), "Error: GeneratorExit: over"),
    (Unprintable, "Error: Unprintable"),
    (lambda: Crooked("bent"), "Error: Crooked: bent"),
    (
        make_group,
        (
            "Error: BaseExceptionGroup: unhandled errors (2 sub-exceptions): PanicException: 5 seconds; "
            "ExceptionGroup: more (1 sub-exception): OSError: no"
        ),
    ),
    (lambda: Masked("who"), "Error: Masked: who"),
    (lambda: Sealed("shut"), "Error: Sealed: shut"),
    (lambda: OfNamelessKind("x"), "Error: OfNamelessKind: x"),
    (TextOfItsOwn, "Error: TextOfItsOwn: odd"),
    (
        lambda: CrookedGroup("bent", [OSError("no")]),
        "Error: CrookedGroup: bent (1 sub-exception): OSError: no",
    ),
    (
        make_deep_group,
        f"Error: {'ExceptionGroup: deep (1 sub-exception): ' * 3}ExceptionGroup: deep (1 sub-exception)",
    ),
    (
        lambda: OSError("long " * 100_000),
        f"Error: OSError: {'long ' * 3_998}long [cut: the text has 500,000 characters]",
    ),
    (lambda: asyncio.CancelledError("enough"), "Error: tool 'work' was cancelled"),
    (UnprintableNotDone, "Error: not done: "),
]


def play(team: Team | Agent, **options: Any) -> Any:
    """Returns how one run ends or waits. Its clock stands still: a run that would wait for its deadline never ends."""

    async def main() -> Outcome[Any] | Waiting:
        async with Seawall(clock=ManualClock(), environment={}) as sea:
            return await asyncio.wait_for((await sea.start(team, "go", **options)).rest(), 60)

    return asyncio.run(main())


@pytest.mark.parametrize(("make", "text"), RAISED)
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("effect", [False, True])
def test_an_agent_is_told_at_once_what_its_tool_raised(
    make: Callable[[], BaseException], text: str, is_async: bool, effect: bool
) -> None:
    async def work() -> str:
        """Works."""
        raise make()

    def work_in_thread() -> str:
        """Works."""
        raise make()

    model = ScriptedModel([call("work"), say("It can't be done.")])
    item = Tool(work if is_async else work_in_thread, name="work", effect=effect)
    team = Agent("clerk", model=model, tools=[item])

    if not effect:
        assert play(team).answer == "It can't be done."
        assert sent(model)[-1] == text
        return

    async def main() -> str:
        async with Seawall(clock=ManualClock(), environment={}) as sea:
            run = await sea.start(team, "go")
            rest = await asyncio.wait_for(run.rest(), 60)
            state = await sea.state(run.id)
            is_not_done = issubclass(type(make()), NotDone)
            assert isinstance(rest, Outcome) == is_not_done
        return state.effects[len(state.effects) - 1].state

    assert asyncio.run(main()) == ("failed" if issubclass(type(make()), NotDone) else "unknown")


def test_an_interrupt_in_a_thread_is_an_error_of_the_tool() -> None:
    def work() -> str:
        """Works."""
        raise KeyboardInterrupt("of a library")

    model = ScriptedModel([call("work"), say("It can't be done.")])

    assert play(Agent("clerk", model=model, tools=[Tool(work)])).answer == "It can't be done."
    assert sent(model)[-1] == "Error: KeyboardInterrupt: of a library"


def test_a_tool_that_cancels_its_own_task_fails_and_the_run_goes_on() -> None:
    async def work() -> str:
        """Works."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return "never"

    model = ScriptedModel([call("work"), say("It can't be done.")])

    assert play(Agent("clerk", model=model, tools=[Tool(work)])).answer == "It can't be done."
    assert sent(model)[-1] == "Error: tool 'work' was cancelled"


def test_a_tool_that_cancels_its_task_and_returns_has_a_result() -> None:
    async def work() -> str:
        """Works."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "done"

    model = ScriptedModel([call("work"), say("Fine.")])

    assert play(Agent("clerk", model=model, tools=[Tool(work)])).answer == "Fine."


class Raising(ScriptedModel):
    """A model that raises before its first reply, or in its stream."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        super().__init__([say("never")])
        self._make = make

    async def respond(self, request: ModelRequest) -> ModelReply:
        raise self._make()

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        yield TextDelta("It")
        raise self._make()


@pytest.mark.parametrize("make", [make for make, _ in RAISED])
@pytest.mark.parametrize("stream", [False, True])
def test_a_run_whose_model_raises_anything_fails_at_once(
    make: Callable[[], BaseException], stream: bool
) -> None:
    outcome = play(Agent("clerk", model=Raising(make), retries=0), stream=stream)

    assert outcome.status == "failed"


class Unfinished(ModelFailed):
    @property
    def retryable(self) -> bool:
        raise PanicException("in retryable")


@pytest.mark.parametrize("kind", [5, None, ["unreachable"], CrookedText("unreachable")])
@pytest.mark.parametrize("made", [ModelFailed, Unfinished])
def test_a_failure_of_a_kind_that_is_none_fails_its_run_and_can_be_read_again(kind: Any, made: Any) -> None:
    async def main() -> str | None:
        async with Seawall(clock=ManualClock(), environment={}) as sea:
            run = await sea.start(Agent("clerk", model=Raising(lambda: made(kind, "no")), retries=0), "go")
            assert (await asyncio.wait_for(run.outcome(), 60)).status == "failed"
            return next(
                event.error for event in await sea.journal.events(run.id) if isinstance(event, StepDone)
            )

    assert asyncio.run(main()) == made.__name__


def test_a_run_whose_tasks_somebody_cancels_is_given_up_at_once_and_can_be_resumed() -> None:
    async def main() -> None:
        bystanders = asyncio.all_tasks()

        async def work() -> str:
            """Works."""
            for task in asyncio.all_tasks() - bystanders - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
            return "never"

        async with Seawall(clock=ManualClock(), environment={}) as sea:
            model = ScriptedModel([call("work"), say("Done.")])
            run = await sea.start(Agent("clerk", model=model, tools=[Tool(work)]), "go")
            with pytest.raises(Broken, match="somebody cancelled its tasks"):
                await run.outcome()
            await until_released(sea, run.id)
            resumed = await sea.resume(run.id, Agent("clerk", model=ScriptedModel([say("Done.")])))
            assert (await resumed.outcome()).answer == "Done."

    asyncio.run(main())


async def until_released(sea: Seawall, run_id: str) -> None:
    while (await sea.journal.row(run_id)).state != "interrupted":
        await asyncio.sleep(0)


class Markup(str):
    """As libraries of templates have it."""

    __slots__ = ()


class Marking(Guard):
    name = "marking"

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return Refuse(Markup("because"), Markup("limit")) if step.kind == "tool" else ALLOW


@pytest.mark.parametrize("guards", [[], [Marking()]])
def test_a_subclass_of_str_is_taken_as_the_text_that_it_is(guards: list[Guard]) -> None:
    def work() -> str:
        """Works."""
        raise OSError(Markup("no"))

    m = Markup
    model = ScriptedModel([call("work"), say(m("Done."))])
    team = Team(m("team"), Agent(m("clerk"), model=model, tools=[Tool(work)]), guards=guards)
    names: dict[str, Any] = {name: m(name) for name in ("session", "tenant", "principal", "request_id")}

    async def main() -> None:
        async with Seawall(clock=ManualClock(), environment={}) as sea:
            await sea.set_guard(m("loops"), "observe", by=m("ops"), why=m("why"))
            run = await sea.start(team, m("go"), **names)
            assert (await run.outcome()).answer == "Done."
            assert (await sea.state(run.id)).started.tenant == "tenant"
            assert (await sea.journal.verify()).ok

    asyncio.run(main())


@pytest.mark.parametrize("method", ["start", "fold", "before", "after"])
@pytest.mark.parametrize("make", [make for make, _ in RAISED])
def test_a_guard_that_raises_anything_halts_the_run(method: str, make: Callable[[], BaseException]) -> None:
    def fail(self: Guard, *_: Any) -> Any:
        raise make()

    guard = type("Failing", (Guard,), {"name": "failing", method: fail})()
    team = Team(Agent("clerk", model=ScriptedModel([say("Done.")])), guards=[guard])

    outcome = play(team)

    assert outcome.status == "halted"
    assert outcome.stopped_by is not None
    assert outcome.stopped_by.guard == "failing"


def fail_with(make: Callable[[], BaseException]) -> Callable[[str], str]:
    def fail(value: str) -> str:
        raise make()

    return fail


@pytest.mark.parametrize("make", [make for make, _ in RAISED])
def test_an_agent_is_told_at_once_what_a_validator_of_arguments_raised(
    make: Callable[[], BaseException],
) -> None:
    def work(what: str) -> str:
        """Works."""
        return "never"

    work.__annotations__["what"] = Annotated[str, AfterValidator(fail_with(make))]
    model = ScriptedModel([call("work", what="x"), say("It can't be done.")])

    assert play(Agent("clerk", model=model, tools=[Tool(work)])).answer == "It can't be done."
    assert sent(model)[-1].startswith("Error: 'work': ")


@pytest.mark.parametrize("make", [make for make, _ in RAISED])
def test_a_serializer_of_a_result_may_raise_anything(make: Callable[[], BaseException]) -> None:
    class Strange(BaseModel):
        @model_serializer
        def encode(self) -> str:
            raise make()

    def work() -> Any:
        """Works."""
        return Strange()

    model = ScriptedModel([call("work"), say("It can't be done.")])
    read = play(Agent("clerk", model=model, tools=[Tool(work)]))
    assert isinstance(read, Outcome)
    assert read.answer == "It can't be done."

    model = ScriptedModel([call("work"), say("It was done.")])
    made = play(Agent("clerk", model=model, tools=[Tool(work, effect=True)]))
    assert isinstance(made, Outcome)
    assert [effect.state for effect in made.effects] == ["committed"]
    assert sent(model)[-1].startswith("['work' was done; its result can't be shown: ")


@pytest.mark.parametrize("make", [make for make, _ in RAISED])
def test_a_validator_of_an_answer_may_raise_anything(make: Callable[[], BaseException]) -> None:
    answer: Any = Annotated[str, AfterValidator(fail_with(make))]
    model = ScriptedModel([say('"x"')] * 10)

    assert play(Agent("clerk", model=model, output=answer, retries=0)).status == "failed"


def test_an_interrupt_in_an_async_tool_ends_the_event_loop_and_the_run_can_be_resumed(tmp_path: Any) -> None:
    path = str(tmp_path / "j.db")

    async def work() -> str:
        """Works."""
        raise KeyboardInterrupt

    def team(tool: Callable[[], Any]) -> Agent:
        return Agent(
            "clerk", model=ScriptedModel([call("work"), say("Done.")]), tools=[Tool(tool, name="work")]
        )

    runs: list[str] = []

    async def main() -> None:
        async with Seawall(path, environment={}) as sea:
            run = await sea.start(team(work), "go")
            runs.append(run.id)
            await run.outcome()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())

    async def works() -> str:
        """Works."""
        return "done"

    async def go_on() -> str | None:
        async with Seawall(path, environment={}) as sea:
            resumed = await sea.resume(
                runs[0], Agent("clerk", model=ScriptedModel([say("Done.")]), tools=[Tool(works, name="work")])
            )
            return (await resumed.outcome()).status

    assert asyncio.run(go_on()) in ("completed", "failed")


def test_an_interrupt_that_the_owner_of_the_loop_survives_is_told_to_whoever_waits() -> None:
    async def work() -> str:
        """Works."""
        raise BaseExceptionGroup("in a group", [KeyboardInterrupt()])

    loop = asyncio.new_event_loop()
    sea = Seawall(clock=ManualClock(), environment={})
    loop.run_until_complete(sea.open())
    model = ScriptedModel([call("work"), say("never")])
    starting = loop.create_task(sea.start(Agent("clerk", model=model, tools=[Tool(work)]), "go"))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    run = loop.run_until_complete(starting)

    with pytest.raises(Broken, match="KeyboardInterrupt"):
        loop.run_until_complete(run.outcome())

    loop.run_until_complete(sea.close())
    loop.close()
