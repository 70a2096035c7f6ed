-- Work that waits for money or a person, alerts, and windows of performance made once.

-- resume_after says when the money is back at the latest; not_before keeps the sweep from trying
-- earlier. waits_in_run is the flow run that the release resumes or has triggered. The claim is one
-- sweeper's lease on the row.
ALTER TABLE routing_decisions
    ADD not_before    timestamptz,
    ADD parkings      integer NOT NULL DEFAULT 0 CHECK (parkings >= 0),
    ADD waits_in_run  uuid,
    ADD claimed_by    varchar(200),
    ADD claimed_until timestamptz;
CREATE INDEX routing_decisions_run ON routing_decisions (created_at)
    WHERE waits_in_run IS NOT NULL;

-- What a person was asked, and the answer. The hold that waits with it is an entry of the ledger;
-- its token stands here, so that only the approved run can take it over.
CREATE TABLE approvals (
    decision_id  uuid PRIMARY KEY REFERENCES routing_decisions (id),
    selection_id uuid NOT NULL,
    attempt_no   integer NOT NULL CHECK (attempt_no >= 1),
    token        uuid NOT NULL,
    amount_usd   numeric(20, 12) NOT NULL CHECK (amount_usd >= 0 AND amount_usd <> 'NaN'),
    expires_at   timestamptz NOT NULL,
    answer       varchar(10) CHECK (answer IN ('approved', 'denied', 'expired')),
    approver     varchar(200),
    note         text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    answered_at  timestamptz,
    CHECK ((answer IS NULL) = (answered_at IS NULL))
);

-- What somebody should hear of. The key makes each thing heard once; announced_at is null until
-- the orchestrator has it.
CREATE TABLE alerts (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind         varchar(50) NOT NULL,
    dedupe_key   varchar(300) NOT NULL CONSTRAINT alerts_dedupe_key_key UNIQUE,
    subject      varchar(200) NOT NULL,
    message      text NOT NULL,
    details      jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    announced_at timestamptz
);
CREATE INDEX alerts_unannounced ON alerts (created_at) WHERE announced_at IS NULL;

CREATE UNIQUE INDEX model_performance_window ON model_performance
    (window_start, model_name, provider, policy_name, task_type, complexity) NULLS NOT DISTINCT;
