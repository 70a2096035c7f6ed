-- What outcomes teach: windows of performance in full, discounted sums by hour, and how far both are.

-- Why the answer ended; an answer that was cut or filtered has not finished properly.
ALTER TABLE model_selections ADD finish_reason varchar(50);

-- What changed since the last recomputation is found by these two.
CREATE INDEX model_selections_settled_at ON model_selections USING brin (settled_at);
CREATE INDEX decision_feedback_created_at ON decision_feedback (created_at);

-- cost_per_success and tokens_per_success are all that was spent for one success: failures count.
ALTER TABLE model_performance
    ADD p99_response_time_ms integer,
    ADD total_tokens         bigint NOT NULL DEFAULT 0,
    ADD tokens_per_success   integer,
    ADD cost_per_success     numeric(20, 12),
    ADD errors               jsonb NOT NULL DEFAULT '{}',
    ADD satisfaction         numeric(5, 4),
    ADD rated_requests       integer NOT NULL DEFAULT 0;

-- The outcomes of one hour in one cell of the tables (model, task type, complexity, attempts before
-- it that failed their check; * is every one), discounted within the hour as of its last outcome.
-- Later hours discount it further when it is read, so one changed hour changes one row a cell.
CREATE TABLE learned_hours (
    model_id      varchar(200) NOT NULL,
    task_type     varchar(200) NOT NULL,
    complexity    varchar(20) NOT NULL,
    failed_before integer NOT NULL CHECK (failed_before >= 0),
    window_start  timestamptz NOT NULL,
    outcomes      integer NOT NULL CHECK (outcomes > 0),
    weight        double precision NOT NULL,
    successes     double precision NOT NULL,
    cost_usd      double precision NOT NULL,
    timed         double precision NOT NULL,
    latency_ms    double precision NOT NULL,
    PRIMARY KEY (model_id, task_type, complexity, failed_before, window_start)
);
CREATE INDEX learned_hours_window ON learned_hours (window_start);

-- One row: up to when every change is in the windows and in the sums, and their discount.
CREATE TABLE learning_progress (
    id            integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    changed_until timestamptz NOT NULL,
    discount      double precision NOT NULL
);

-- How likely the first choice was; below 1 only where a policy explores.
ALTER TABLE routing_decisions ADD propensity double precision
    GENERATED ALWAYS AS ((plan ->> 'propensity')::double precision) STORED;
