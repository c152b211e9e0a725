"""What a journal is: the append-only record of every run, and the only source of truth.

Implementations: `seawall.journal.sqlite.SqliteJournal`. Every one passes `tests/journal/contract.py`.

- `journal.py`: `Journal`, which is all of the parts below in one
- `runs.py`: runs, their events and bodies, and the leases of the processes that own them
- `inbox.py`: commands to a run from other processes
- `settings.py`: live settings, and the small records that processes share
- `accounts.py`: what tenants and days have spent and reserved
- `effects.py`: effects, proposals and decisions, which outlive the runs that made them
- `retention.py`: erasing, pruning, verifying and backing up
"""

from __future__ import annotations

from seawall.journal.protocol.accounts import (
    NOTHING,
    Account,
    AccountStore,
    Booking,
    Cap,
    OverCap,
    Spend,
)
from seawall.journal.protocol.effects import (
    EVERY_EFFECT,
    OPEN_PROPOSALS,
    Ballot,
    CauseStep,
    ClaimAnswer,
    ClaimStatus,
    DecisionKind,
    DecisionRecord,
    EffectClaim,
    EffectFilter,
    EffectRecord,
    EffectStore,
    Fact,
    FactAdded,
    FactsTold,
    OverSum,
    PrincipalRecord,
    Proposal,
    ProposalFilter,
    ProposalState,
    Reason,
    RecordChange,
    Settle,
    SumRule,
    Vote,
    Wait,
    make_effect_id,
    make_proposal_id,
)
from seawall.journal.protocol.inbox import Command, InboxItem, InboxStore
from seawall.journal.protocol.journal import Journal
from seawall.journal.protocol.retention import Backup, BadBatch, Head, Pruned, RetentionStore, Verification
from seawall.journal.protocol.runs import (
    EVERY_RUN,
    Lease,
    LeaseState,
    RunFilter,
    RunRow,
    RunStore,
    Summary,
)
from seawall.journal.protocol.settings import VALUES, Setting, SettingKind, SettingStore

__all__ = [
    "EVERY_EFFECT",
    "EVERY_RUN",
    "NOTHING",
    "OPEN_PROPOSALS",
    "VALUES",
    "Account",
    "AccountStore",
    "Backup",
    "BadBatch",
    "Ballot",
    "Booking",
    "Cap",
    "CauseStep",
    "ClaimAnswer",
    "ClaimStatus",
    "Command",
    "DecisionKind",
    "DecisionRecord",
    "EffectClaim",
    "EffectFilter",
    "EffectRecord",
    "EffectStore",
    "Fact",
    "FactAdded",
    "FactsTold",
    "Head",
    "InboxItem",
    "InboxStore",
    "Journal",
    "Lease",
    "LeaseState",
    "OverCap",
    "OverSum",
    "PrincipalRecord",
    "Proposal",
    "ProposalFilter",
    "ProposalState",
    "Pruned",
    "Reason",
    "RecordChange",
    "RetentionStore",
    "RunFilter",
    "RunRow",
    "RunStore",
    "Setting",
    "SettingKind",
    "SettingStore",
    "Settle",
    "Spend",
    "SumRule",
    "Summary",
    "Verification",
    "Vote",
    "Wait",
    "make_effect_id",
    "make_proposal_id",
]
