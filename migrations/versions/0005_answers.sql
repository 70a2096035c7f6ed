-- Answers that are given again, and the prices that savings are measured by.

-- One answer of a policy that asked for a cache. The key is a hash: the prompt is not stored here.
CREATE TABLE cached_answers (
    key            varchar(64) PRIMARY KEY,
    policy_name    varchar(200) NOT NULL,
    policy_version integer NOT NULL,
    model_id       varchar(200) NOT NULL,
    decision_id    uuid NOT NULL,
    answer         jsonb NOT NULL,
    bytes          integer NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL
);
CREATE INDEX cached_answers_expires_at ON cached_answers (expires_at);
CREATE INDEX cached_answers_created_at ON cached_answers (created_at);

-- Who asks a model now, so that equal requests wait for that answer. `is_open` once its answer
-- turned out to be one that is not kept: then everybody asks for himself for a moment.
-- UNLOGGED: after a crash of the server nobody is in flight any more.
CREATE UNLOGGED TABLE answers_in_flight (
    key              varchar(64) PRIMARY KEY,
    token            uuid NOT NULL,
    decision_id      uuid NOT NULL,
    owner            varchar(200) NOT NULL,
    is_open          boolean NOT NULL DEFAULT false,
    lease_expires_at timestamptz NOT NULL
);

-- The decision that paid for this one's answer, and how it came to be shared: cache or duplicate.
-- first_price is what first_model cost when the plan was made: prompt_usd, completion_usd,
-- cache_read_usd and request_usd. `escalates` when the plan goes cheap first and checks.
ALTER TABLE routing_decisions
    ADD reused_from uuid,
    ADD reuse       varchar(20),
    ADD first_price jsonb,
    ADD escalates   boolean NOT NULL DEFAULT false;
CREATE INDEX routing_decisions_reused ON routing_decisions (created_at) WHERE reuse IS NOT NULL;
