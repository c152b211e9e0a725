"""All codes of the lint: what each means, an example, and how to mend it."""

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
    """The severity of its findings. A finding may be less severe; its reason then says why."""
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
        meaning="A waiver names a code, agents or tools, and no finding is about them. Either the fault was mended, or a name "
        "is misspelt; a waiver that is kept by mistake would hide a later finding.",
        example='waive={"SW102 clerk cashier": "…"} in a team without an agent of the name cashier',
        mend="Take the waiver out, or correct its code and names.",
    ),
    LintCode(
        code="SW002",
        kind="waivers",
        severity="warning",
        title="A waiver without a reason",
        meaning="A waiver does not say why the finding is accepted, so nobody can judge later whether the reason still holds. "
        "Such a waiver waives nothing.",
        example='waive={"SW205 refund": ""}',
        mend="Write the reason, in a sentence for the next reader of the team.",
    ),
    LintCode(
        code="SW101",
        kind="overlap",
        severity="warning",
        title="Two agents have the same duty",
        meaning="Two agents are told to do the same to the same object, and this is the main duty of both. Each produces or "
        "rewrites what the other has produced.",
        example='clerk: "Looks up the order and writes the reply." / helper: "Finds the order and answers the customer."',
        mend="Give the duty to one of them, and tell the other to take the result; or take one of them out.",
    ),
    LintCode(
        code="SW102",
        kind="overlap",
        severity="note",
        title="Two agents share a duty",
        meaning="One duty, check, decision or output is given to both agents; their other duties differ.",
        example='planner: "Plans the trip and checks the budget." / accountant: "Checks the budget of each trip."',
        mend="Say in both instructions which of them has the duty and which is given the result.",
    ),
    LintCode(
        code="SW201",
        kind="authority",
        severity="error",
        title="An agent decides what another one decides",
        meaning="Two agents are told to make the same decision, to ask the same person for consent, or to instruct the same "
        "colleague on the same matter; or an agent is told to decide what the authority matrix gives to others. If they "
        "disagree, nothing says whose decision counts.",
        example='guard: "Passes shots at 7 or above." / critic: "Passes the video at 7 or above."',
        mend="Leave the decision with one of them, and tell the other to report what it has found.",
    ),
    LintCode(
        code="SW202",
        kind="authority",
        severity="error",
        title="An agent is told to use a tool that only another one has",
        meaning="The instructions name a tool that the agent does not have and a colleague has. The agent will claim to have "
        "used it, or ask its colleagues for it.",
        example='clerk without tools: "Calls issue_refund when the parcel is lost."; cashier has issue_refund',
        mend="Tell it to hand the work to the tool's owner, or give it the tool.",
    ),
    LintCode(
        code="SW203",
        kind="authority",
        severity="warning",
        title="A tool that changes the world has two owners",
        meaning="Several agents have the same tool with an effect. Each may call it without knowing of the other's call.",
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
        meaning="A tool changes the world, and no call of it is ever shown to a person. The finding is a warning if the tool "
        "has an amount.",
        example='@tool(effect=Effect(unique_by=("order_id",), amount="amount", currency="EUR"))',
        mend="Say from which amount on a person decides, or waive the finding with the reason why no person has to.",
    ),
    LintCode(
        code="SW206",
        kind="authority",
        severity="warning",
        title="A deliverable has two owners",
        meaning="Several agents are told to write the whole of the same deliverable, and nothing says whose version stands.",
        example='supervisor: "Compiles the full report." / reporter: "Drafts the full report."',
        mend="Let one of them write it, and let the others contribute their parts or remarks.",
    ),
    LintCode(
        code="SW207",
        kind="authority",
        severity="error",
        title="An agent is told to do what its authority does not allow",
        meaning="The instructions tell an agent to do what needs a tool that the authority matrix does not allow it, to go up to "
        "an amount above the matrix, or to hand work to an agent to which the matrix does not let it; or an agent reviews "
        "answers on which it may not decide. It will try, and be refused each time.",
        example='clerk: "Refunds up to 500 EUR itself."; May(up_to={"refund": Money("50", "EUR")})',
        mend="Change the instructions or the matrix, so that both say the same.",
    ),
    LintCode(
        code="SW301",
        kind="wiring",
        severity="error",
        title="An agent that can't be reached",
        meaning="No flow leads from the entry of requests to the agent, and no agent that can be reached mentions it.",
        example="flows: [[clerk, cashier]], entry: clerk, and a third agent auditor",
        mend="Add a flow to the agent, or take the agent out.",
    ),
    LintCode(
        code="SW302",
        kind="wiring",
        severity="error",
        title="A hand-off to an agent that does not exist",
        meaning="An agent, a flow or a task names a colleague that the team does not have.",
        example='clerk: "Hands refunds over to the BillingAgent.", and no agent is called so',
        mend="Name an agent of the team, or add the missing agent.",
    ),
    LintCode(
        code="SW303",
        kind="wiring",
        severity="error",
        title="A hand-off without a flow",
        meaning="An agent is told to give something to a colleague, or to wait for something from it, and no flow joins "
        "the two in either direction. The finding is a warning if they are only told to work together.",
        example='writer: "Sends the text to the editor.", flows: [[lead, writer], [lead, editor]]',
        mend="Add the flow, or tell the agent to give it to an agent that it can reach.",
    ),
    LintCode(
        code="SW304",
        kind="wiring",
        severity="error",
        title="No agent is told to finish",
        meaning="Every agent can pass the work on, and none is told to give the final answer or to end. The team passes the work "
        "round until a limit stops it.",
        example="flows: [[planner, worker], [worker, planner]], and no instructions mention an answer",
        mend="Tell one agent when the work is done and what it answers then.",
    ),
    LintCode(
        code="SW305",
        kind="wiring",
        severity="warning",
        title="Two agents that can only pass work to each other",
        meaning="Each of the two has a flow only to the other one, and neither is told to finish.",
        example="flows: [[lead, writer], [writer, critic], [critic, writer]]",
        mend="Give one of them a way to end: a flow back to the requester, or the instruction to finish.",
    ),
    LintCode(
        code="SW306",
        kind="wiring",
        severity="error",
        title="A reviewer that reviews itself",
        meaning="The reviewer is the agent that it reviews, or has the same instructions: it repeats the mistake that it should "
        "find.",
        example="reviews: {writer: writer}",
        mend="Have another agent review, with instructions that name what to check.",
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
        title="A tool or an agent that never fits the deadline",
        meaning="A tool or an agent is declared to take longer than the time that the deadline leaves beside the shortest path to "
        "an answer, so the planner would always leave it out.",
        example="limits: {active_s: 10}, a tool with latency_s 30",
        mend="Raise the deadline, or take the tool or the agent out.",
    ),
    LintCode(
        code="SW404",
        kind="bounds",
        severity="error",
        title="Limits below what the plan needs",
        meaning="The shortest complete run needs more model calls, depth or tokens than its limits allow; or an agent is "
        "deeper than the limit of depth, so that no work can be handed to it.",
        example="Limits(model_calls=1) with a reviewer, which needs two",
        mend="Raise the limit, or make the plan shorter.",
    ),
    LintCode(
        code="SW405",
        kind="bounds",
        severity="error",
        title="A context that is too small",
        meaning="An agent's instructions and the schemas of its tools, which it is sent each time, fill its context, or the part of "
        "it beyond which results are shortened. The finding is a warning from half of the budget on.",
        example="Context(tokens=1_000) with tools whose schemas take 900 tokens",
        mend="Give it fewer tools, shorter instructions, or a larger context.",
    ),
    LintCode(
        code="SW406",
        kind="bounds",
        severity="warning",
        title="Tools that can't be told apart",
        meaning="Two tools of one agent have names that differ only in case and signs, or have the same description. A "
        "model chooses between them by chance.",
        example="get_order and getOrder; or two tools with the description 'Searches.'",
        mend="Say in both descriptions when each is the right one, or take one out.",
    ),
)

CODES: dict[str, LintCode] = {each.code: each for each in _ALL}
