-- Sent, and the answer is lost: perhaps billed. The hold stays until the bill is known.
CREATE FUNCTION ledger.mark_unknown(
    p_selection uuid, p_token uuid, p_error text, p_error_kind text, p_generation text,
    p_latency_ms integer
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    entry model_selections;
BEGIN
    SELECT s.* INTO entry FROM model_selections s
     WHERE s.id = p_selection AND s.token = p_token FOR NO KEY UPDATE;
    IF NOT FOUND OR entry.state <> 'SENT' THEN
        RETURN coalesce(entry.state = 'UNKNOWN', false);
    END IF;
    UPDATE model_selections s
       SET state = 'UNKNOWN', outcome = 'unknown', success = false, error = p_error,
           error_kind = p_error_kind, generation_id = coalesce(p_generation, s.generation_id),
           response_time_ms = p_latency_ms, lease_expires_at = clock_timestamp(),
           reconcile_after = clock_timestamp() + interval '2 seconds'
     WHERE s.id = p_selection;
    RETURN true;
END $$;

-- Expired leases: what was never sent is released, what was sent becomes UNKNOWN and keeps its
-- hold. Rows that somebody works on are skipped; balances are summed and updated once, in order.
CREATE FUNCTION ledger.sweep(p_limit integer, OUT released integer, OUT unknown integer)
LANGUAGE plpgsql AS $$
DECLARE
    expired uuid[];
    budgets uuid[];
    holds   numeric[];
BEGIN
    SELECT coalesce(array_agg(due.id), '{}') INTO expired
      FROM (SELECT s.id FROM model_selections s
             WHERE s.settled_at IS NULL AND s.state IN ('RESERVED', 'SENT')
               AND s.lease_expires_at <= clock_timestamp()
             ORDER BY s.created_at LIMIT p_limit
               FOR NO KEY UPDATE SKIP LOCKED) due;
    UPDATE model_selections s
       SET state = 'UNKNOWN', outcome = 'unknown', success = false,
           error = 'the worker vanished after sending', error_kind = 'lease_expired',
           lease_expires_at = clock_timestamp(), reconcile_after = clock_timestamp()
     WHERE s.id = ANY (expired) AND s.state = 'SENT';
    GET DIAGNOSTICS unknown = ROW_COUNT;

    WITH freed AS (
        UPDATE model_selections s
           SET state = 'RELEASED', actual_cost = 0, settled_at = clock_timestamp(),
               outcome = 'cancelled', success = false,
               error = 'the hold expired before anything was sent', error_kind = 'lease_expired'
         WHERE s.id = ANY (expired) AND s.state = 'RESERVED'
     RETURNING s.budget_ids, s.hold_amounts
    ), per_budget AS (
        SELECT part.id, sum(part.hold) AS hold
          FROM freed CROSS JOIN LATERAL unnest(budget_ids, hold_amounts) AS part (id, hold)
         GROUP BY part.id
    )
    SELECT (SELECT count(*) FROM freed), array_agg(p.id), array_agg(p.hold)
      INTO released, budgets, holds FROM per_budget p;
    IF budgets IS NOT NULL THEN
        PERFORM ledger.book(budgets, holds, 0);
    END IF;
END $$;

-- UNKNOWN rows whose time has come, claimed by moving their next try: 2, 4, 8 ... 120 seconds while
-- a generation id can be asked for. `give_up` is true once the patience has run out.
CREATE FUNCTION ledger.claim_unknown(p_limit integer, p_patience interval)
RETURNS TABLE (selection_id uuid, generation_id text, estimated_cost numeric, give_up boolean)
LANGUAGE sql AS $$
    UPDATE model_selections s
       SET reconcile_tries = s.reconcile_tries + 1,
           reconcile_after = clock_timestamp()
               + least(power(2, least(s.reconcile_tries + 1, 10)), 120) * interval '1 second'
      FROM (SELECT d.id FROM model_selections d
             WHERE d.settled_at IS NULL AND d.state = 'UNKNOWN'
               AND d.reconcile_after <= clock_timestamp()
               AND (d.generation_id IS NOT NULL
                    OR d.lease_expires_at <= clock_timestamp() - p_patience)
             ORDER BY d.created_at LIMIT p_limit
               FOR NO KEY UPDATE SKIP LOCKED) due
     WHERE s.id = due.id
 RETURNING s.id, s.generation_id, s.estimated_cost,
           s.lease_expires_at <= clock_timestamp() - p_patience
$$;

-- Book the bill of an UNKNOWN row once somebody could state it; what is known of its end stays.
CREATE FUNCTION ledger.resolve_unknown(
    p_selection uuid, p_cost numeric, p_source text, p_provider text,
    p_prompt_tokens integer, p_completion_tokens integer,
    OUT answer text, OUT overrun_usd numeric, OUT alerts text[]
) LANGUAGE plpgsql AS $$
DECLARE
    entry model_selections;
BEGIN
    SELECT s.* INTO entry FROM model_selections s WHERE s.id = p_selection FOR NO KEY UPDATE;
    IF entry.state NOT IN ('UNKNOWN', 'SETTLED') THEN
        answer := 'not_sent';
        overrun_usd := 0;
        alerts := '{}';
        RETURN;
    END IF;
    SELECT settled.* INTO answer, overrun_usd, alerts
      FROM ledger.settle(
               p_selection, p_cost, p_source, entry.outcome, entry.error, entry.error_kind,
               p_provider, entry.served_model, p_prompt_tokens, p_completion_tokens, NULL, NULL,
               NULL, NULL, NULL, NULL) settled;
END $$;

-- Where the ledger stands since the last checkpoint of the upstream key, for a decision by
-- difference. `open_rows` may still be billed; `assumed` rows have a cost that nobody stated.
CREATE FUNCTION ledger.key_position()
RETURNS TABLE (
    usage_usd numeric, settled_usd numeric, open_rows bigint, assumed_rows bigint,
    quiet_s numeric
) LANGUAGE sql STABLE AS $$
    WITH checkpoint AS (SELECT k.usage_usd, k.taken_at FROM key_checkpoints k
                         ORDER BY k.taken_at DESC LIMIT 1)
    SELECT (SELECT c.usage_usd FROM checkpoint c),
           coalesce(sum(s.actual_cost) FILTER (WHERE s.state = 'SETTLED'), 0),
           count(*) FILTER (WHERE s.state IN ('SENT', 'UNKNOWN')),
           count(*) FILTER (WHERE s.settle_source = 'assumed_max'),
           extract(epoch FROM clock_timestamp() - max(greatest(s.sent_at, s.settled_at)))
      FROM model_selections s
     WHERE s.sent_at IS NOT NULL
       AND (s.settled_at IS NULL
            OR s.settled_at > coalesce((SELECT c.taken_at FROM checkpoint c), '-infinity'))
$$;
