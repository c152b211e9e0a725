"""Every code that a lint knows: what it means, an example, and how to mend it."""

from __future__ import annotations

from typing import Literal

import msgspec

from seawall.lint.finding import Severity

Kind = Literal["overlap", "authority", "wiring", "bounds", "waivers"]


class LintCode(msgspec.Struct, frozen=True, kw_only=True):
    """One code."""

    code: str
    kind: Kind
    severity: Severity
    """That of its findings; some are less severe, where a reason for that stands in the finding."""
    title: str
    meaning: str
    example: str
    mend: str


_ALL = (
    LintCode(
        code="SW001",
        kind="waivers",
        severity="warning",
        title="A waiver that waives nothing",
        meaning="A waiver names a code, agents or tools, and no finding is about them. Either it was mended, or a name is "
        "misspelt; what is waived by mistake would not be told.",
        example='waive={"SW102 clerk cashier": "…"} in a team without an agent of the name cashier',
        mend="Take the waiver out, or correct its code and names.",
    ),
    LintCode(
        code="SW002",
        kind="waivers",
        severity="warning",
        title="A waiver without a reason",
        meaning="A waiver says nothing of why the finding is accepted, so nobody can judge later whether it still holds. "
        "It waives nothing.",
        example='waive={"SW205 refund": ""}',
        mend="Write the reason, in a sentence for whoever reads the team next.",
    ),
    LintCode(
        code="SW101",
        kind="overlap",
        severity="warning",
        title="Two agents have the same duty",
        meaning="Two agents are told to do the same to the same object, and the result is what both of them are there for. "
        "Each produces or rewrites what the other has produced.",
        example='clerk: "Looks up the order and writes the reply." / helper: "Finds the order and answers the customer."',
        mend="Give the duty to one of them, and tell the other to take the result; or take one of them out.",
    ),
    LintCode(
        code="SW102",
        kind="overlap",
        severity="note",
        title="Two agents share a duty",
        meaning="One duty, check, decision or output is given to both, and the rest of what they do is their own.",
        example='planner: "Plans the trip and checks the budget." / accountant: "Checks the budget of each trip."',
        mend="Say in both instructions who does it and who is given the result.",
    ),
    LintCode(
        code="SW201",
        kind="authority",
        severity="error",
        title="An agent decides what another one decides",
        meaning="Two agents are given the same decision, or the same person's consent to ask for, or the same colleague to "
        "instruct on the same matter; or an agent is told to decide what the authority matrix gives to others. When they "
        "differ, nothing says whose word counts.",
        example='guard: "Passes shots at 7 or above." / critic: "Passes the video at 7 or above."',
        mend="Leave the decision with one of them, and tell the other to report what it has found.",
    ),
    LintCode(
        code="SW202",
        kind="authority",
        severity="error",
        title="An agent is told to use a tool that only another one has",
        meaning="The instructions name a tool that the agent does not have and a colleague has. It will claim to have "
        "used it, or ask around for it.",
        example='clerk without tools: "Calls issue_refund when the parcel is lost."; cashier has issue_refund',
        mend="Tell it to hand the work to the tool's owner, or give it the tool.",
    ),
    LintCode(
        code="SW203",
        kind="authority",
        severity="warning",
        title="A tool that changes the world has two owners",
        meaning="Several agents hold the same tool with an effect. Each may use it without knowing of the other's call.",
        example="clerk and cashier both have send_email",
        mend="Leave the tool with one agent, and have the others ask that one.",
    ),
    LintCode(
        code="SW204",
        kind="authority",
        severity="warning",
        title="An effect without identity",
        meaning="A tool changes the world, and nothing says what makes two calls the same effect. A repeated call is "
        "performed again.",
        example="@tool(effect=True) def refund(order_id: str, amount: str)",
        mend='Declare what identifies it, for example effect=Effect(unique_by=("order_id",)).',
    ),
    LintCode(
        code="SW205",
        kind="authority",
        severity="note",
        title="An effect without approval",
        meaning="A tool changes the world, and no call of it is ever shown to a person. It is a warning where the tool "
        "has an amount.",
        example='@tool(effect=Effect(unique_by=("order_id",), amount="amount", currency="EUR"))',
        mend="Say from which amount on a person decides, or waive it with the reason why nobody need.",
    ),
    LintCode(
        code="SW206",
        kind="authority",
        severity="warning",
        title="A deliverable has two owners",
        meaning="Several agents are told to write the whole of the same deliverable, and nothing says whose version stands.",
        example='supervisor: "Compiles the full report." / reporter: "Drafts the full report."',
        mend="Let one of them write it, and the others hand in their parts or their remarks.",
    ),
    LintCode(
        code="SW207",
        kind="authority",
        severity="error",
        title="An agent is told to do what its authority does not give",
        meaning="The instructions tell an agent to do what only a tool does that the authority matrix leaves out, to go up to an "
        "amount above the matrix, or to hand work to somebody whom it leaves out; or an agent reviews answers on which it may "
        "not decide. It will try, and be refused each time.",
        example='clerk: "Refunds up to 500 EUR itself."; May(up_to={"refund": Money("50", "EUR")})',
        mend="Change the instructions or the matrix, so that both say the same.",
    ),
    LintCode(
        code="SW301",
        kind="wiring",
        severity="error",
        title="Nobody can reach an agent",
        meaning="No flow leads to the agent from where requests come in, and no agent that can be reached mentions it.",
        example="flows: [[clerk, cashier]], entry: clerk, and a third agent auditor",
        mend="Add a flow to it, or take it out.",
    ),
    LintCode(
        code="SW302",
        kind="wiring",
        severity="error",
        title="Handing over to somebody who is not there",
        meaning="An agent, a flow or a task names a colleague that the team does not have.",
        example='clerk: "Hands refunds over to the BillingAgent.", and no agent is called so',
        mend="Name an agent that is there, or add the one that is meant.",
    ),
    LintCode(
        code="SW303",
        kind="wiring",
        severity="error",
        title="Handing over where no flow leads",
        meaning="An agent is told to give something to a colleague, or to wait for something from it, and no flow joins "
        "the two in either direction. It is a warning where they are only told to work together.",
        example='writer: "Sends the text to the editor.", flows: [[lead, writer], [lead, editor]]',
        mend="Add the flow, or tell the agent to give it to somebody whom it can reach.",
    ),
    LintCode(
        code="SW304",
        kind="wiring",
        severity="error",
        title="Nobody is told to finish",
        meaning="Every agent can pass the work on, and none is told to give the final answer or to end. The team goes round "
        "until a limit stops it.",
        example="flows: [[planner, worker], [worker, planner]], and no word of an answer",
        mend="Tell one agent when the work is done and what it answers then.",
    ),
    LintCode(
        code="SW305",
        kind="wiring",
        severity="warning",
        title="Two agents that can only pass work to each other",
        meaning="Each of the two has a flow to the other one and to nobody else, and neither is told to finish.",
        example="flows: [[lead, writer], [writer, critic], [critic, writer]]",
        mend="Give one of them a way out: a flow back to who asked, or the words with which it ends.",
    ),
    LintCode(
        code="SW306",
        kind="wiring",
        severity="error",
        title="A reviewer that reviews itself",
        meaning="The reviewer is the agent that it reviews, or has the same instructions as it has: it repeats the mistake "
        "that it should find.",
        example="reviews: {writer: writer}",
        mend="Have another agent review, with instructions that say what has to hold.",
    ),
    LintCode(
        code="SW401",
        kind="bounds",
        severity="warning",
        title="No deadline",
        meaning="The team has limits, and none of them bounds the time that a run may take.",
        example="limits: {tool_calls: 20}",
        mend="Set active_s, at a small multiple of what a usual run takes.",
    ),
    LintCode(
        code="SW402",
        kind="bounds",
        severity="error",
        title="A deadline below the shortest complete path",
        meaning="The latencies that are declared for the shortest way to an answer add up to more than a run may take, so "
        "that no run ends in time.",
        example="limits: {active_s: 10}, entry clerk with latency_s 4, and its reviewer with latency_s 8",
        mend="Raise the deadline, or take something out of the path.",
    ),
    LintCode(
        code="SW403",
        kind="bounds",
        severity="warning",
        title="Something that can never be done in time",
        meaning="A tool or an agent is declared to take longer than what the deadline leaves beside the shortest path to an "
        "answer, so the planner would always leave it out.",
        example="limits: {active_s: 10}, a tool with latency_s 30",
        mend="Raise the deadline, or take the tool or the agent out.",
    ),
    LintCode(
        code="SW404",
        kind="bounds",
        severity="error",
        title="Limits that the plan can't keep to",
        meaning="The shortest complete run needs more model calls, depth or tokens than its limits allow; or an agent lies "
        "deeper than the limit of depth, so that nothing can be handed to it.",
        example="Limits(model_calls=1) with a reviewer, which needs two",
        mend="Raise the limit, or make the plan shorter.",
    ),
    LintCode(
        code="SW405",
        kind="bounds",
        severity="error",
        title="A context that is too small",
        meaning="What an agent is sent each time, its instructions and the schemas of its tools, fills its context or the "
        "part of it from which on results are shortened. It is a warning from half of the budget on.",
        example="Context(tokens=1_000) with tools whose schemas take 900 tokens",
        mend="Give it fewer tools, shorter instructions, or a larger context.",
    ),
    LintCode(
        code="SW406",
        kind="bounds",
        severity="warning",
        title="Tools that can't be told apart",
        meaning="Two tools of one agent have names that are the same but for case and signs, or the same description. A "
        "model chooses between them by chance.",
        example="get_order and getOrder; or two tools with the description 'Searches.'",
        mend="Say in both descriptions when each is the right one, or take one out.",
    ),
)

CODES: dict[str, LintCode] = {each.code: each for each in _ALL}
