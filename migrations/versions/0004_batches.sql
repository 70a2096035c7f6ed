-- Batches: the lines of a file, each with its decision; and decisions that share one selection.

-- A line of a group has no snapshot and plan of its own: those of this decision served it too.
ALTER TABLE routing_decisions ADD planned_with uuid;

-- source_hash is the SHA-256 of the file and its limits: the same file started again continues,
-- unless a new edition was asked for. The claim is one runner's lease on the batch.
CREATE TABLE batches (
    id            uuid PRIMARY KEY,
    source_hash   varchar(64) NOT NULL,
    edition       integer NOT NULL CHECK (edition >= 1),
    name          varchar(500) NOT NULL,
    lines         integer NOT NULL DEFAULT 0,
    is_loaded     boolean NOT NULL DEFAULT false,
    max_cost_usd  numeric(20, 12) CHECK (max_cost_usd >= 0 AND max_cost_usd <> 'NaN'),
    deadline_at   timestamptz,
    concurrency   integer NOT NULL CHECK (concurrency >= 1),
    claimed_by    varchar(200),
    claimed_until timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    CONSTRAINT batches_source UNIQUE (source_hash, edition)
);

-- same_as is the first line that asks the same; it is asked once for all of them. The request is
-- dropped when the line is completed, as in routing_decisions.
CREATE TABLE batch_items (
    batch_id    uuid NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    line_no     integer NOT NULL CHECK (line_no >= 1),
    status      varchar(20) NOT NULL,
    request     jsonb,
    labels      jsonb,  -- the line's metadata, echoed in its result
    answer_hash varchar(64),
    same_as     integer,
    problem     text,
    decision_id uuid REFERENCES routing_decisions (id),
    PRIMARY KEY (batch_id, line_no)
);
CREATE INDEX batch_items_pending ON batch_items (batch_id, line_no)
    WHERE status = 'pending' AND same_as IS NULL;
CREATE INDEX batch_items_same ON batch_items (batch_id, same_as) WHERE same_as IS NOT NULL;
