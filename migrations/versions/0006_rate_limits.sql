-- Rate limits of the upstream, shared by every process of an installation.

-- `account` is a fingerprint of the upstream and its key. `scope` is a model id, `*` for every call
-- of the key, or a star with the suffix of free models for the calls of those. A scope may have a limit that a person set
-- and one that a 429 taught; both hold. `next_at` is the theoretical arrival time of GCRA. The
-- counters are since the row was made.
CREATE TABLE rate_limits (
    account       varchar(40) NOT NULL,
    scope         varchar(200) NOT NULL,
    source        varchar(10) NOT NULL CHECK (source IN ('set', 'learned')),
    requests      integer CHECK (requests > 0),
    period_s      double precision NOT NULL DEFAULT 60 CHECK (period_s > 0),
    concurrency   integer CHECK (concurrency > 0),
    blocked_until timestamptz,
    expires_at    timestamptz,
    next_at       timestamptz NOT NULL DEFAULT now(),
    turns         bigint NOT NULL DEFAULT 0,
    waits         bigint NOT NULL DEFAULT 0,
    waited_s      double precision NOT NULL DEFAULT 0,
    refusals      bigint NOT NULL DEFAULT 0,
    lessons       bigint NOT NULL DEFAULT 0,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, scope, source)
);

-- Who waits for a turn, and who has one under a limit on concurrency. Nothing here is worth a
-- write-ahead log: after a crash of the server nobody waits any more.
CREATE UNLOGGED TABLE rate_tickets (
    id         uuid PRIMARY KEY,
    account    varchar(40) NOT NULL,
    model      varchar(200) NOT NULL,
    worker     varchar(200) NOT NULL,
    round      bigint NOT NULL,
    is_running boolean NOT NULL DEFAULT false,
    held_by    varchar(200) NOT NULL,
    not_before timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX rate_tickets_queue ON rate_tickets (account, round, created_at);

-- The round of each worker's last turn: who has had one waits for the others.
CREATE UNLOGGED TABLE rate_workers (
    account  varchar(40) NOT NULL,
    worker   varchar(200) NOT NULL,
    round    bigint NOT NULL,
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (account, worker)
);
