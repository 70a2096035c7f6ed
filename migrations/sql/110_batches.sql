-- Many entries in one statement and one commit: for callers with many attempts in flight. Each row
-- is decided by the function for one; these only take the locks for all of them first, in the one
-- order (entries by id, then balances by id), so that they never deadlock with anybody. Planned once:
-- for every list of rows anew, that would cost more than to lock them.

-- Hold money for many attempts that are sent as soon as this is committed: those that get their hold
-- are marked sent. Each is admitted or refused by itself, in the order given.
CREATE FUNCTION ledger.reserve_many(p_holds jsonb, p_sent_lease interval) RETURNS TABLE (
    place integer, answer text, selection_id uuid, lease_expires_at timestamptz, blocking jsonb,
    sent boolean
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM 1 FROM cost_budgets b
      WHERE b.id IN (
            SELECT c.budget_id
              FROM (SELECT DISTINCT h.policy, h.worker, h.model, h.task_id
                      FROM jsonb_to_recordset(p_holds)
                        AS h (policy text, worker text, model text, task_id uuid)) h
             CROSS JOIN LATERAL ledger.covering(h.policy, h.worker, ARRAY[h.model], h.task_id) c)
      ORDER BY b.id FOR NO KEY UPDATE;
    RETURN QUERY
    SELECT h.place, CASE WHEN r.answer = 'reserved' AND NOT r.sent THEN 'replay' ELSE r.answer END,
           r.selection_id, r.lease_expires_at, r.blocking, r.sent
      FROM (SELECT * FROM jsonb_to_recordset(p_holds) AS o (
                place integer, key text, request_hash text, decision_id uuid, attempt_no integer,
                token uuid, owner text, model text, provider text, policy text,
                worst_case numeric, elastic numeric, task_cap numeric, task_id uuid, worker text,
                task_type text, complexity text, simulated boolean, lease_s numeric)
             ORDER BY o.place OFFSET 0) h  -- OFFSET 0: the order is kept
     CROSS JOIN LATERAL ledger.reserve(
                h.key, h.request_hash, h.decision_id, h.attempt_no, h.token, h.owner, h.model,
                h.provider, h.policy, h.worst_case, h.elastic, h.task_cap, h.task_id, h.worker,
                h.task_type, h.complexity, h.simulated, make_interval(secs => h.lease_s),
                p_sent_lease) r;
END $$;

-- Book many bills.
CREATE FUNCTION ledger.settle_many(p_bills jsonb) RETURNS TABLE (
    place integer, answer text, overrun_usd numeric, alerts text[]
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    entries uuid[];
BEGIN
    SELECT array_agg(b.selection_id) INTO entries
      FROM jsonb_to_recordset(p_bills) AS b (selection_id uuid);
    PERFORM 1 FROM model_selections s WHERE s.id = ANY (entries)
      ORDER BY s.id FOR NO KEY UPDATE;
    PERFORM 1 FROM cost_budgets b
      WHERE b.id IN (SELECT unnest(s.budget_ids) FROM model_selections s
                      WHERE s.id = ANY (entries))
      ORDER BY b.id FOR NO KEY UPDATE;
    RETURN QUERY
    SELECT b.place, r.answer, r.overrun_usd, r.alerts
      FROM jsonb_to_recordset(p_bills) AS b (
                place integer, selection_id uuid, cost numeric, source text, outcome text,
                error text, error_kind text, provider text, served_model text,
                prompt_tokens integer, completion_tokens integer, cached_tokens integer,
                reasoning_tokens integer, latency_ms integer, first_token_ms integer,
                generation text, response jsonb)
     CROSS JOIN LATERAL ledger.settle(
                b.selection_id, b.cost, b.source, b.outcome, b.error, b.error_kind, b.provider,
                b.served_model, b.prompt_tokens, b.completion_tokens, b.cached_tokens,
                b.reasoning_tokens, b.latency_ms, b.first_token_ms, b.generation, b.response) r;
END $$;

-- The owner is dead for certain: its leases end now, and the sweep does the rest.
CREATE FUNCTION ledger.end_leases_of(p_owner text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    ended integer;
BEGIN
    UPDATE model_selections s SET lease_expires_at = clock_timestamp()
     WHERE s.settled_at IS NULL AND s.state IN ('RESERVED', 'SENT') AND s.owner = p_owner
       AND s.lease_expires_at > clock_timestamp();
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END $$;
