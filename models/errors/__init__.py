"""One error tree; every leaf is named after what happens next.

SwitchyardError
├── BadInput                    exit 2: nothing was sent, nothing spent
│   ├── InvalidRequest, InvalidPolicy, InvalidConfiguration
│   │   └── SchemaOutdated
│   ├── NotFound
│   └── IdempotencyConflict     the key was used for another request
├── Refused                     exit 3: a budget said no
│   ├── BudgetExceeded          more money or a new period is needed
│   ├── NoBudget                no active definition covers a paid call
│   ├── PriceUnknown            no price, or a price list that is too old
│   └── NoCandidate             every model was filtered out, with reasons
├── Waiting                     exit 4: parked or awaiting approval
├── WorldFailed                 exit 1: a part of the world does not work
│   ├── DatabaseFailed, PostgresFailed, PrefectFailed, PortTaken, DiskFull
│   └── AllAttemptsFailed       every attempt of the plan failed
└── UpstreamFailed              one attempt failed; `hold` and `next_step` say what follows
    ├── NeverSent               retry here, then the next model
    ├── Busy                    wait for `retry_after_s` once, then the next model
    ├── InFlightLimited         wait once, then park
    ├── AccountLimited          the whole account must wait: wait once, then park or refuse
    ├── NoTurn                  a rate limit has no room in time: the next model, then park
    │   └── NoTurnForAny        the key's limit: park or refuse
    ├── AccountOutOfMoney       the whole account has no money: park or refuse, alert
    ├── TooExpensive            a smaller or cheaper request may fit
    ├── ModelUnsuitable         the next model
    ├── RequestRejected         stop: no model will take this request
    ├── AccessDenied            stop: key, permission or moderation
    ├── NotBatched              left out by an upstream batch: asked in the ordinary way
    ├── OutcomeUnknown          may be billed: hold kept, the next model
    ├── LostRace                another model answered first: may be billed, hold kept
    ├── BadAnswer               answered without a usable answer: settled if usage is known
    └── AnswerRejected          a paid answer failed its checks: the next in the plan

The hold and next step of each upstream leaf follow the failure table of docs/design.md.
"""

from __future__ import annotations

from models.errors.tree import (
    BadInput,
    BudgetExceeded,
    DatabaseFailed,
    DiskFull,
    IdempotencyConflict,
    InvalidConfiguration,
    InvalidPolicy,
    InvalidRequest,
    NoBudget,
    NoCandidate,
    NotFound,
    PortTaken,
    PostgresFailed,
    PrefectFailed,
    PriceUnknown,
    Refused,
    SchemaOutdated,
    SwitchyardError,
    Waiting,
    WorldFailed,
)
from models.errors.upstream import (
    AccessDenied,
    AccountLimited,
    AccountOutOfMoney,
    AllAttemptsFailed,
    AnswerRejected,
    BadAnswer,
    Busy,
    HoldFate,
    InFlightLimited,
    LostRace,
    ModelUnsuitable,
    NeverSent,
    NextStep,
    NotBatched,
    NoTurn,
    NoTurnForAny,
    OutcomeUnknown,
    RequestRejected,
    TooExpensive,
    UpstreamFailed,
)

__all__ = [
    "AccessDenied",
    "AccountLimited",
    "AccountOutOfMoney",
    "AllAttemptsFailed",
    "AnswerRejected",
    "BadAnswer",
    "BadInput",
    "BudgetExceeded",
    "Busy",
    "DatabaseFailed",
    "DiskFull",
    "HoldFate",
    "IdempotencyConflict",
    "InFlightLimited",
    "InvalidConfiguration",
    "InvalidPolicy",
    "InvalidRequest",
    "LostRace",
    "ModelUnsuitable",
    "NeverSent",
    "NextStep",
    "NoBudget",
    "NoCandidate",
    "NoTurn",
    "NoTurnForAny",
    "NotBatched",
    "NotFound",
    "OutcomeUnknown",
    "PortTaken",
    "PostgresFailed",
    "PrefectFailed",
    "PriceUnknown",
    "Refused",
    "RequestRejected",
    "SchemaOutdated",
    "SwitchyardError",
    "TooExpensive",
    "UpstreamFailed",
    "Waiting",
    "WorldFailed",
]
