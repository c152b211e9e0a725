"""The scene about memory: an agent's invention is a fact for a later run, until a person reverts it."""

from __future__ import annotations

from seawall.cli.demo import scripts
from seawall.cli.demo.claims import describe_payments, is_answered
from seawall.cli.demo.results import CheckedClaim, ModeResult
from seawall.cli.demo.scene import Request, Scene
from seawall.cli.demo.single_run_scenes import LIMIT, SIGNING_ROLE
from seawall.effects.options import Effect, above

SHOP = "shop"
"""The tenant whose agents share a memory."""
ROGUE_EFFECT = Effect(
    unique_by=("order_id",), amount="amount", currency="EUR", approve=above(LIMIT, roles=(SIGNING_ROLE,))
)


def _check_rogue(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    found = enforce.figures
    return [
        CheckedClaim(
            f"observe: another order than the customer's was paid ({observe.figures['wrong']})",
            observe.figures["wrong"] == 1,
        ),
        CheckedClaim("enforce: a person was asked about the other order", found["asked"] == 1),
        CheckedClaim("enforce: why leads to the step of the run that had made it up", found["led"] == 1),
        CheckedClaim(
            f"enforce: the revert removed what was made up, and nothing else ({found['removed']})",
            found["removed"] == 1,
        ),
        CheckedClaim("enforce: what was right before holds again", found["restored"] == 1),
        CheckedClaim(
            "enforce: the run that believed it was cancelled, and its request answered again",
            enforce.ends == {"completed, reviewed": 3, "cancelled by cancel": 1},
        ),
        CheckedClaim(
            f"enforce: the customer's order was paid once ({len(enforce.payments)}), and no other",
            (len(enforce.payments), found["wrong"]) == (1, 0),
        ),
        CheckedClaim("observe: every run was answered and reviewed", is_answered(observe)),
    ]


def _describe_rogue(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        f"A clerk noted an order number that it had made up, and a later run paid {describe_payments(observe)} for it. "
        "With the refund signed off, the person who was asked followed `seawall why` over the runs to the step that "
        "wrote it and reverted that step; the run started again from what was known before, and "
        f"{describe_payments(enforce)} was paid for the right order."
    )


ROGUE = Scene(
    name="rogue",
    title="An invention in memory, and the later run that believes it",
    story="One run notes which order is Ann's. Another one overwrites that with a number that nobody gave it. A third is to refund Ann's order.",
    requests=(
        Request(text=scripts.NOTE_ORDER, tenant=SHOP),
        Request(text=scripts.LIST_DEPOT, tenant=SHOP),
        Request(text=scripts.REFUND_ANN, tenant=SHOP),
    ),
    scripts=scripts.remember_and_invent,
    claims=_check_rogue,
    lesson=_describe_rogue,
    workload="rogue",
    refund_effect=ROGUE_EFFECT,
    memory=True,
)
