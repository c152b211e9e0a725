"""Explains how a run goes on whose steps a framework's own loop asks for, for commands that can't drive it."""

from __future__ import annotations

from seawall.core.events import RunStarted

BY_REQUEST = {
    "langchain": 'invoke the agent again with the same input and config["configurable"]["seawall_request_id"] = {id!r}',
    "langgraph": 'invoke the graph again with the same input and config["configurable"]["seawall_request_id"] = {id!r}',
    "openai-agents": "call SeawallRunner.run again with the same input and request_id={id!r}, or with its RunState",
    "pydantic-ai": 'run the agent again with the same prompt and metadata={{"seawall_request_id": {id!r}}}',
    "agent-framework": "run the agent again with the same prompt and "
    'function_invocation_kwargs={{"seawall_request_id": {id!r}}}, or with its AgentSession',
    "crewai": "kick off the crew again in crewai.gate(…, request_id={id!r})",
    "google-adk": "run the agent again with the same message and "
    'RunConfig(custom_metadata={{"seawall_request_id": {id!r}}}), or its invocation with invocation_id=…',
    "mcp": 'the MCP client calls its tools again through the proxy, with {id!r} as "seawall/run" in the _meta of a call',
}
"""How to go on, by framework; {id} is the request id. If an adapter has made the id, the same input gives the same id."""
_OWN = "begin it again with the same request: Engine.begin(…, loop={loop!r}, request_id={id!r})"
_BY_THREAD = {
    "langchain": '; with its checkpoint: agent.invoke(None, {{"configurable": {{"thread_id": {session!r}}}}}), or with '
    "Command(resume=…) if it waits for a decision",
    "langgraph": '; with its checkpoint: graph.invoke(None, {{"configurable": {{"thread_id": {session!r}}}}}), or with '
    "Command(resume=…) if it waits for a decision",
}
"""How to go on from a checkpoint, by framework. The framework's thread id is the session."""


def explain_own_loop(started: RunStarted) -> str:
    """Returns whose loop goes on with a run, and how: by its request id, its session or, without either, not at all."""
    loop, request, session = started.loop, started.request_id, started.session
    whose = f"its steps are asked for by the loop of {loop}, which alone goes on with it"
    if request is not None:
        how = BY_REQUEST.get(loop, _OWN).format(id=request, loop=loop)
        return f"{whose}: {how}{_explain_thread(loop, session)}"
    if session is not None:
        how = f"begin it again with session={session!r} and resume=True"
        return f"{whose}: {how}{_explain_thread(loop, session)}"
    return (
        f"{whose}, and it has neither a request id nor a session: end it with: seawall cancel {started.run}"
    )


def explain_fork(started: RunStarted) -> str:
    """Returns how a run is forked with which a framework's loop goes on: that asks for the steps of the fork, too."""
    return (
        f"its steps are asked for by the loop of {started.loop}, so its fork needs a request id of its own and no team: "
        f"seawall fork {started.run} --at STEP --request-id ID, or in code engine.call(lambda sea: sea.fork({started.run!r}, "
        "at=STEP, request_id=ID)); then make the same request there with that request id"
    )


def _explain_thread(loop: str, session: str | None) -> str:
    return "" if session is None else _BY_THREAD.get(loop, "").format(session=session)
