-- Who may call the HTTP API, and what callers thought of the answers.

-- The token itself is never stored: `digest` is its SHA-256 (32 random bytes need no slow hash),
-- `prefix` the part of it that may be shown and finds the row.
CREATE TABLE api_keys (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                varchar(200) NOT NULL,
    prefix              varchar(20) NOT NULL CONSTRAINT api_keys_prefix_key UNIQUE,
    digest              varchar(64) NOT NULL,
    scopes              text[] NOT NULL CHECK (scopes <@ ARRAY['route', 'read', 'admin']),
    worker_id           varchar(200),
    requests_per_minute integer CHECK (requests_per_minute > 0),
    concurrent_max      integer CHECK (concurrent_max > 0),
    created_at          timestamptz NOT NULL DEFAULT now(),
    expires_at          timestamptz,
    last_used_at        timestamptz,
    revoked_at          timestamptz
);
CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_at IS NULL;

-- One score for a decision, or for one of its attempts; the last word counts.
CREATE TABLE decision_feedback (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    decision_id uuid NOT NULL REFERENCES routing_decisions (id),
    attempt_no  integer CHECK (attempt_no >= 1),
    score       numeric(5, 4) NOT NULL CHECK (score BETWEEN 0 AND 1),
    given_by    varchar(200),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT decision_feedback_once UNIQUE NULLS NOT DISTINCT (decision_id, attempt_no)
);
