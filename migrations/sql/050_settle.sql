-- When the alert threshold was crossed: now, if this cost is the first to reach it.
CREATE FUNCTION ledger.alerted_at(
    p_alerted_at timestamptz, p_alert_usd numeric, p_spent numeric, p_cost numeric,
    p_now timestamptz
) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_alerted_at IS NULL AND p_cost > 0 AND p_spent + p_cost >= p_alert_usd
                THEN p_now ELSE p_alerted_at END
$$;

-- Take holds out of balances and put a cost in, in the one lock order. Returns the names of the
-- budgets whose alert threshold this crossed for the first time in their period. A closed period
-- that is booked into opens again, so that it is reported again.
CREATE FUNCTION ledger.book(p_budgets uuid[], p_holds numeric[], p_cost numeric) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    booked_at timestamptz := clock_timestamp();
    crossed   text;
    reached   text[] := '{}';
BEGIN
    FOR place IN 2..cardinality(p_budgets) LOOP
        IF p_budgets[place] < p_budgets[place - 1] THEN  -- as older entries may have them
            SELECT array_agg(freed.id ORDER BY freed.id), array_agg(freed.hold ORDER BY freed.id)
              INTO p_budgets, p_holds FROM unnest(p_budgets, p_holds) AS freed (id, hold);
            EXIT;
        END IF;
    END LOOP;
    FOR place IN 1..cardinality(p_budgets) LOOP
        UPDATE cost_budgets b
           SET spent_amount = b.spent_amount + p_cost,
               reserved_amount = b.reserved_amount - p_holds[place],
               alerted_at = ledger.alerted_at(
                   b.alerted_at, b.alert_threshold * b.budget_amount, b.spent_amount, p_cost,
                   booked_at), closed_at = NULL
         WHERE b.id = p_budgets[place]
     RETURNING CASE WHEN b.alerted_at = booked_at AND b.definition_id IS NOT NULL
                    THEN ledger.budget_name(b.budget_type, b.scope_key, b.budget_period) END
          INTO crossed;
        IF crossed IS NOT NULL THEN
            reached := reached || crossed;
        END IF;
    END LOOP;
    RETURN reached;
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
    budgets uuid[];
    holds   numeric[];
BEGIN
    IF p_cost IS NULL OR p_cost < 0 THEN
        RAISE EXCEPTION 'a bill cannot be negative or unknown' USING ERRCODE = 'check_violation';
    END IF;
    UPDATE model_selections s
       SET state = 'SETTLED', actual_cost = p_cost, settle_source = p_source,
           settled_at = clock_timestamp(),
           overrun_usd = greatest(p_cost - s.estimated_cost, 0),
           late = (s.state = 'RELEASED'), outcome = p_outcome, success = (p_outcome = 'ok'),
           error = p_error, error_kind = p_error_kind,
           selected_provider = coalesce(p_provider, s.selected_provider),
           served_model = p_served_model,
           tokens_used = p_prompt_tokens + p_completion_tokens,
           prompt_tokens = p_prompt_tokens, completion_tokens = p_completion_tokens,
           cached_tokens = p_cached_tokens, reasoning_tokens = p_reasoning_tokens,
           response_time_ms = coalesce(p_latency_ms, s.response_time_ms),
           first_token_ms = p_first_token_ms,
           generation_id = coalesce(p_generation, s.generation_id),
           response = p_response, reconcile_after = NULL,
           finish_reason = left(p_response ->> 'finish_reason', 50),
           checked = coalesce((p_response ->> 'checked')::boolean, false)
     WHERE s.id = p_selection AND s.state IN ('SENT', 'UNKNOWN', 'RELEASED')
 RETURNING CASE WHEN s.late THEN 'late' ELSE 'settled' END, s.overrun_usd, s.budget_ids,
           s.hold_amounts
      INTO answer, overrun_usd, budgets, holds;
    IF FOUND THEN
        IF answer = 'late' THEN
            holds := array_fill(0::numeric, ARRAY[cardinality(budgets)]);
        END IF;
        alerts := ledger.book(budgets, holds, p_cost);
        RETURN;
    END IF;
    SELECT CASE s.state WHEN 'SETTLED' THEN 'already_settled' ELSE 'not_sent' END, s.overrun_usd
      INTO answer, overrun_usd
      FROM model_selections s WHERE s.id = p_selection;
    answer := coalesce(answer, 'not_found');
    overrun_usd := coalesce(overrun_usd, 0);
    alerts := '{}';
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
