-- A batch that a provider works off for hours. Its lines' holds are the rows of model_selections
-- whose owner is 'upstream-batch:' || id, so that the death of a process does not end their leases;
-- an item's custom_id is its row's idempotency_key with '-' for '/'. upstream_id is NULL while
-- nobody has seen the answer to the POST.
CREATE TABLE upstream_batches (
    id          uuid PRIMARY KEY,
    batch_id    uuid NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    model_id    varchar(200) NOT NULL,
    upstream_id varchar(200),
    problem     text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz
);
CREATE INDEX upstream_batches_open ON upstream_batches (batch_id) WHERE ended_at IS NULL;
