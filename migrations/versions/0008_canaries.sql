-- A policy version on trial: it serves a share of its policy's requests until it is promoted (then
-- it becomes the policy's version in force), aborted by a person, or rolled back by the evidence.
CREATE TABLE policy_canaries (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          varchar(200) NOT NULL,
    version       integer NOT NULL,
    base_version  integer NOT NULL,
    policy_config jsonb NOT NULL,
    share         numeric(5, 4) NOT NULL CHECK (share > 0 AND share < 1),
    status        varchar(20) NOT NULL DEFAULT 'running'
                  CHECK (status IN ('running', 'promoted', 'aborted', 'rolled_back')),
    reason        text NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    end_reason    text,
    CHECK ((status = 'running') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX policy_canaries_running ON policy_canaries (name) WHERE ended_at IS NULL;
