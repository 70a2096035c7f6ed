-- The seed's five tables, with money widened to NUMERIC(20,12) and times to timestamptz,
-- and the tables beside them. CHECKs stand here only; models/tables.py mirrors the rest.

CREATE TABLE governance_tasks (
    id         uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE routing_policies (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          varchar(200) NOT NULL CONSTRAINT routing_policies_name_key UNIQUE,
    description   text,
    policy_config jsonb NOT NULL,
    is_active     boolean NOT NULL DEFAULT true,
    version       integer NOT NULL DEFAULT 1 CHECK (version >= 1),
    source        varchar(20) NOT NULL DEFAULT 'seed' CHECK (source IN ('seed', 'person', 'learned')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE routing_policy_versions (
    name          varchar(200) NOT NULL,
    version       integer NOT NULL CHECK (version >= 1),
    policy_config jsonb NOT NULL,
    reason        text,
    source        varchar(20) NOT NULL CHECK (source IN ('seed', 'person', 'learned')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);

-- Prices per token need fifteen decimals: cached tokens are listed at 9.4e-9 USD and less.
CREATE TABLE model_catalogue (
    model_id              varchar(200) PRIMARY KEY,
    provider              varchar(200) NOT NULL,
    prompt_usd            numeric(20, 15) CHECK (prompt_usd >= 0),
    completion_usd        numeric(20, 15) CHECK (completion_usd >= 0),
    cache_read_usd        numeric(20, 15) CHECK (cache_read_usd >= 0),
    cache_write_usd       numeric(20, 15) CHECK (cache_write_usd >= 0),
    request_usd           numeric(20, 15) CHECK (request_usd >= 0),
    image_usd             numeric(20, 15) CHECK (image_usd >= 0),
    context_tokens        integer,
    completion_tokens_max integer,
    abilities             text[] NOT NULL DEFAULT '{}',
    source                varchar(50) NOT NULL,
    priced_at             timestamptz NOT NULL,
    suspended_reason      text,
    updated_at            timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE routing_decisions (
    id              uuid PRIMARY KEY,
    idempotency_key varchar(500) CONSTRAINT routing_decisions_idempotency_key_key UNIQUE,
    request_hash    varchar(64) NOT NULL,
    task_id         uuid REFERENCES governance_tasks (id),
    policy_name     varchar(200),
    policy_version  integer,
    task_type       varchar(200),
    complexity      varchar(20),
    worker_id       varchar(200),
    status          varchar(20) NOT NULL,
    snapshot        jsonb,
    plan            jsonb,
    earlier_plans   jsonb NOT NULL DEFAULT '[]',  -- of a decision that was resumed
    first_model     varchar(200),  -- the policy's first choice, that savings are measured against
    reasons         jsonb,
    result          jsonb,
    request         jsonb,
    priority        integer NOT NULL DEFAULT 0,
    deadline_at     timestamptz,
    resume_after    timestamptz,
    flow_run_id     uuid,
    trace           varchar(20) NOT NULL DEFAULT 'flow',
    simulated       boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz
);
CREATE INDEX routing_decisions_created_at ON routing_decisions (created_at);
CREATE INDEX routing_decisions_waiting ON routing_decisions (priority DESC, created_at)
    WHERE status IN ('parked', 'awaiting_approval');

-- What the limits are. '*' is a template (each worker, policy, model or task gets a balance row of
-- its own); for type global it is the only key.
CREATE TABLE budget_definitions (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    budget_type     varchar(50) NOT NULL
                    CHECK (budget_type IN ('global', 'policy', 'worker', 'model', 'task')),
    scope_key       varchar(200) NOT NULL DEFAULT '*' CHECK (scope_key <> ''),
    budget_period   varchar(20) NOT NULL
                    CHECK (budget_period IN ('daily', 'weekly', 'monthly', 'once')),
    budget_amount   numeric(20, 12) NOT NULL CHECK (budget_amount >= 0 AND budget_amount <> 'NaN'),
    time_zone       varchar(64) NOT NULL DEFAULT 'UTC',
    alert_threshold numeric(5, 4) NOT NULL DEFAULT 0.80
                    CHECK (alert_threshold > 0 AND alert_threshold <= 1),
    mode            varchar(10) NOT NULL DEFAULT 'hard' CHECK (mode IN ('hard', 'elastic')),
    is_active       boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (budget_type <> 'global' OR scope_key = '*'),
    CONSTRAINT budget_definitions_scope UNIQUE (budget_type, scope_key, budget_period)
);

-- The balance of one budget in one period, made on first use; never reset, never reused.
-- No index on a balance and a low fillfactor keep its updates HOT. No CHECK that spent + reserved
-- stays below the amount: an honest overrun must be storable.
CREATE TABLE cost_budgets (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    definition_id   uuid REFERENCES budget_definitions (id),
    budget_type     varchar(50) NOT NULL,
    scope_key       varchar(200) NOT NULL DEFAULT '*',
    budget_period   varchar(20) NOT NULL,
    budget_amount   numeric(20, 12) NOT NULL,
    spent_amount    numeric(20, 12) NOT NULL DEFAULT 0,
    reserved_amount numeric(20, 12) NOT NULL DEFAULT 0,
    period_start    timestamptz NOT NULL,
    period_end      timestamptz,  -- null: never ends (once)
    time_zone       varchar(64) NOT NULL DEFAULT 'UTC',
    mode            varchar(10) NOT NULL DEFAULT 'hard',
    alert_threshold numeric(5, 4) NOT NULL DEFAULT 0.80,
    alerted_at      timestamptz,
    closed_at       timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT cost_budgets_money CHECK (spent_amount >= 0 AND reserved_amount >= 0),
    CONSTRAINT cost_budgets_scope UNIQUE (budget_type, scope_key, budget_period, period_start)
) WITH (fillfactor = 40);
CREATE INDEX cost_budgets_definition ON cost_budgets (definition_id, period_start)
    WHERE definition_id IS NOT NULL;

CREATE TABLE budget_adjustments (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    budget_id  uuid NOT NULL REFERENCES cost_budgets (id),
    amount     numeric(20, 12) NOT NULL CHECK (amount <> 'NaN'),
    reason     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX budget_adjustments_budget ON budget_adjustments (budget_id);

-- The ledger's entries: one row per physical attempt, written before a byte is sent.
-- estimated_cost is the worst case held; actual_cost the bill. hold_amounts stands parallel to
-- budget_ids. settled_at is when the hold was closed (settled or released). The only index that
-- knows the state is the one of open rows, so that marking a row sent stays a HOT update.
CREATE TABLE model_selections (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    task_id           uuid REFERENCES governance_tasks (id),
    policy_name       varchar(200),
    selected_model    varchar(200) NOT NULL,
    selected_provider varchar(200),
    estimated_cost    numeric(20, 12) NOT NULL,
    actual_cost       numeric(20, 12),
    tokens_used       integer,
    response_time_ms  integer,
    success           boolean,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    decision_id       uuid NOT NULL,
    attempt_no        integer NOT NULL,
    idempotency_key   varchar(500) NOT NULL
                      CONSTRAINT model_selections_idempotency_key_key UNIQUE,
    request_hash      varchar(64) NOT NULL,
    state             varchar(10) NOT NULL,
    owner             varchar(200) NOT NULL,
    token             uuid NOT NULL,
    lease_expires_at  timestamptz NOT NULL,
    budget_ids        uuid[] NOT NULL,
    hold_amounts      numeric(20, 12)[] NOT NULL,
    worker_id         varchar(200),
    task_type         varchar(200),
    complexity        varchar(20),
    served_model      varchar(200),
    prompt_tokens     integer,
    completion_tokens integer,
    cached_tokens     integer,
    reasoning_tokens  integer,
    first_token_ms    integer,
    sent_at           timestamptz,
    settled_at        timestamptz,
    settle_source     varchar(20),
    generation_id     varchar(200),
    outcome           varchar(20),
    error             text,
    error_kind        varchar(50),
    response          jsonb,
    overrun_usd       numeric(20, 12) NOT NULL DEFAULT 0,
    late              boolean NOT NULL DEFAULT false,
    simulated         boolean NOT NULL DEFAULT false,
    reconcile_after   timestamptz,
    reconcile_tries   integer NOT NULL DEFAULT 0,
    -- Few and short, because PostgreSQL parses every CHECK anew for every statement: a CHECK a
    -- state and a sign a column cost more than the rest of the settlement (150 us of 400).
    CONSTRAINT model_selections_money CHECK (estimated_cost >= 0 AND actual_cost >= 0),
    CONSTRAINT model_selections_closed CHECK ((settled_at IS NULL) = (actual_cost IS NULL))
) WITH (fillfactor = 75);
CREATE INDEX model_selections_decision ON model_selections (decision_id);
CREATE INDEX model_selections_model ON model_selections (selected_model, created_at);
CREATE INDEX model_selections_open ON model_selections (created_at) WHERE settled_at IS NULL;
CREATE INDEX model_selections_created_at ON model_selections USING brin (created_at);

CREATE TABLE model_performance (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model_name           varchar(200) NOT NULL,
    provider             varchar(200),
    window_start         timestamptz NOT NULL,
    window_end           timestamptz NOT NULL,
    total_requests       integer NOT NULL DEFAULT 0,
    successful_requests  integer NOT NULL DEFAULT 0,
    failed_requests      integer NOT NULL DEFAULT 0,
    avg_response_time_ms integer,
    total_cost           numeric(20, 12) NOT NULL DEFAULT 0,
    avg_tokens_used      integer,
    created_at           timestamptz NOT NULL DEFAULT now(),
    policy_name          varchar(200),
    task_type            varchar(200),
    complexity           varchar(20),
    p50_response_time_ms integer,
    p95_response_time_ms integer,
    CHECK (window_end > window_start)
);
CREATE INDEX model_performance_model ON model_performance (model_name, window_start);

-- One row: whether this database holds simulated or real money. They never mix.
CREATE TABLE installation (
    id         integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    simulated  boolean NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
);

-- What the upstream key had spent at a quiet moment, to tell by difference what an
-- unanswered call cost.
CREATE TABLE key_checkpoints (
    id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    usage_usd numeric(20, 12) NOT NULL CHECK (usage_usd >= 0 AND usage_usd <> 'NaN'),
    taken_at  timestamptz NOT NULL DEFAULT now()
);

-- Set-up seeds one limit, once: what a person changes later stays changed.
INSERT INTO budget_definitions (budget_type, budget_period, budget_amount)
VALUES ('global', 'daily', 5);
