-- Take holds out of balances and put a cost in, in the one lock order. Returns the names of the
-- budgets whose alert threshold this crossed for the first time in their period. A closed period
-- that is booked into opens again, so that it is reported again.
CREATE FUNCTION ledger.book(p_budgets uuid[], p_holds numeric[], p_cost numeric) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    alerts text[];
BEGIN
    SELECT array_agg(ledger.budget_name(b.budget_type, b.scope_key, b.budget_period))
           FILTER (WHERE b.alerted_at IS NULL AND b.definition_id IS NOT NULL AND p_cost > 0
                     AND b.spent_amount + p_cost >= b.alert_threshold * b.budget_amount)
      INTO alerts
      FROM (SELECT * FROM cost_budgets WHERE id = ANY (p_budgets)
             ORDER BY id FOR NO KEY UPDATE) b;
    UPDATE cost_budgets b
       SET spent_amount = b.spent_amount + p_cost,
           reserved_amount = b.reserved_amount - freed.hold,
           alerted_at = CASE WHEN b.alerted_at IS NULL AND p_cost > 0
                              AND b.spent_amount + p_cost >= b.alert_threshold * b.budget_amount
                             THEN clock_timestamp() ELSE b.alerted_at END,
           closed_at = NULL
      FROM unnest(p_budgets, p_holds) AS freed (id, hold)
     WHERE b.id = freed.id;
    RETURN coalesce(alerts, '{}');
END $$;

-- Book what an attempt really cost, once. The bill, the answer and the balances are one commit.
-- A row that was released meanwhile is settled late: its hold is gone, its cost is not.
CREATE FUNCTION ledger.settle(
    p_selection uuid, p_cost numeric, p_source text, p_outcome text, p_error text,
    p_error_kind text, p_provider text, p_served_model text, p_prompt_tokens integer,
    p_completion_tokens integer, p_cached_tokens integer, p_reasoning_tokens integer,
    p_latency_ms integer, p_first_token_ms integer, p_generation text, p_response jsonb,
    OUT answer text, OUT overrun_usd numeric, OUT alerts text[]
) LANGUAGE plpgsql AS $$
DECLARE
    entry model_selections;
    freed numeric[];
BEGIN
    overrun_usd := 0;
    alerts := '{}';
    SELECT s.* INTO entry FROM model_selections s WHERE s.id = p_selection FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        answer := 'not_found';
        RETURN;
    ELSIF entry.state = 'SETTLED' THEN
        answer := 'already_settled';
        overrun_usd := entry.overrun_usd;
        RETURN;
    ELSIF entry.state = 'RESERVED' THEN
        answer := 'not_sent';
        RETURN;
    END IF;
    answer := CASE entry.state WHEN 'RELEASED' THEN 'late' ELSE 'settled' END;
    freed := CASE entry.state
                 WHEN 'RELEASED' THEN array_fill(0::numeric, ARRAY[cardinality(entry.budget_ids)])
                 ELSE entry.hold_amounts END;
    overrun_usd := greatest(p_cost - entry.estimated_cost, 0);

    UPDATE model_selections s
       SET state = 'SETTLED', actual_cost = p_cost, settle_source = p_source,
           settled_at = clock_timestamp(), overrun_usd = settle.overrun_usd,
           late = (answer = 'late'), outcome = p_outcome, success = (p_outcome = 'ok'),
           error = p_error, error_kind = p_error_kind,
           selected_provider = coalesce(p_provider, s.selected_provider),
           served_model = p_served_model,
           tokens_used = p_prompt_tokens + p_completion_tokens,
           prompt_tokens = p_prompt_tokens, completion_tokens = p_completion_tokens,
           cached_tokens = p_cached_tokens, reasoning_tokens = p_reasoning_tokens,
           response_time_ms = coalesce(p_latency_ms, s.response_time_ms),
           first_token_ms = p_first_token_ms,
           generation_id = coalesce(p_generation, s.generation_id),
           response = p_response, reconcile_after = NULL
     WHERE s.id = p_selection;
    alerts := ledger.book(entry.budget_ids, freed, p_cost);
END $$;

-- Give a hold back: nothing was billed, for certain. Asking twice frees once.
CREATE FUNCTION ledger.release(
    p_selection uuid, p_token uuid, p_outcome text, p_error text, p_error_kind text,
    p_latency_ms integer
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    entry model_selections;
BEGIN
    SELECT s.* INTO entry FROM model_selections s
     WHERE s.id = p_selection AND s.token = p_token FOR NO KEY UPDATE;
    IF NOT FOUND OR entry.state NOT IN ('RESERVED', 'SENT') THEN
        RETURN coalesce(entry.state = 'RELEASED', false);
    END IF;
    UPDATE model_selections s
       SET state = 'RELEASED', actual_cost = 0, settled_at = clock_timestamp(),
           outcome = p_outcome, success = false, error = p_error, error_kind = p_error_kind,
           response_time_ms = p_latency_ms
     WHERE s.id = p_selection;
    PERFORM ledger.book(entry.budget_ids, entry.hold_amounts, 0);
    RETURN true;
END $$;
