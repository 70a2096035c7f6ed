-- What a key that is already there answers. The same token asking again is a lost acknowledgement:
-- its hold stands. Anyone else continues from the row, and pays nothing.
CREATE FUNCTION ledger.answer_known_key(
    p_key text, p_request_hash text, p_token uuid,
    OUT answer text, OUT selection_id uuid, OUT lease_expires_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN s.request_hash <> p_request_hash THEN 'conflict'
                WHEN s.token = p_token AND s.state = 'RESERVED'
                     AND s.lease_expires_at > clock_timestamp() THEN 'reserved'
                ELSE 'replay' END,
           s.id, s.lease_expires_at
      FROM model_selections s WHERE s.idempotency_key = p_key
$$;

-- Which of these balances have no room for their hold.
CREATE FUNCTION ledger.full_budgets(p_budgets uuid[], p_holds numeric[]) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'budget', ledger.budget_name(b.budget_type, b.scope_key, b.budget_period),
               'amount_usd', b.budget_amount::text,
               'remaining_usd', (b.budget_amount - b.spent_amount - b.reserved_amount)::text,
               'period_end', b.period_end) ORDER BY b.budget_type, b.scope_key, b.budget_period), '[]')
      FROM unnest(p_budgets, p_holds) AS wanted (id, hold)
      JOIN cost_budgets b ON b.id = wanted.id
     WHERE wanted.hold > 0
       AND b.spent_amount + b.reserved_amount + wanted.hold > b.budget_amount
$$;

-- Hold money for one attempt in every budget that covers it, or in none.
-- Everything that can be done before the balances are locked is done before: the hot row is held
-- only for its update and the commit. Lock order: definitions, entry, balances by id.
CREATE FUNCTION ledger.reserve(
    p_key text, p_request_hash text, p_decision uuid, p_attempt_no integer, p_token uuid,
    p_owner text, p_model text, p_provider text, p_policy text, p_worst_case numeric,
    p_elastic numeric, p_task_cap numeric, p_task uuid, p_worker text, p_task_type text,
    p_complexity text, p_simulated boolean, p_lease interval,
    OUT answer text, OUT selection_id uuid, OUT lease_expires_at timestamptz, OUT blocking jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    budgets  uuid[];
    holds    numeric[];
    unopened boolean;
    is_full  boolean;
BEGIN
    IF p_worst_case < 0 OR p_elastic < 0 THEN
        RAISE EXCEPTION 'a hold cannot be negative' USING ERRCODE = 'check_violation';
    END IF;
    FOR round IN 1..2 LOOP
        SELECT array_agg(c.budget_id ORDER BY c.budget_id),
               array_agg(CASE c.mode WHEN 'elastic' THEN p_elastic ELSE p_worst_case END
                         ORDER BY c.budget_id),
               bool_or(c.budget_id IS NULL)
          INTO budgets, holds, unopened
          FROM ledger.covering(p_policy, p_worker, ARRAY[p_model], p_task) c;
        EXIT WHEN NOT unopened OR unopened IS NULL;
        IF round = 2 THEN
            RAISE EXCEPTION 'a budget that covers % could not be opened', p_key;
        END IF;
        PERFORM ledger.open_periods(p_policy, p_worker, ARRAY[p_model], p_task);
    END LOOP;
    IF budgets IS NULL AND p_worst_case > 0 THEN
        SELECT known.* INTO answer, selection_id, lease_expires_at
          FROM ledger.answer_known_key(p_key, p_request_hash, p_token) known;
        answer := coalesce(answer, 'uncovered');
        RETURN;
    END IF;
    budgets := coalesce(budgets, '{}');
    holds := coalesce(holds, '{}');

    IF p_task IS NOT NULL THEN
        INSERT INTO governance_tasks (id) VALUES (p_task) ON CONFLICT DO NOTHING;
    END IF;
    IF p_task_cap IS NOT NULL THEN  -- the cap's balance row has the decision's own id
        INSERT INTO cost_budgets (id, budget_type, scope_key, budget_period, budget_amount,
                                  period_start)
        VALUES (p_decision, 'task', 'decision:' || p_decision, 'once', p_task_cap, 'epoch')
            ON CONFLICT DO NOTHING;
        budgets := budgets || p_decision;
        holds := holds || p_worst_case;
    END IF;

    INSERT INTO model_selections AS s (
        task_id, policy_name, selected_model, selected_provider, estimated_cost, decision_id,
        attempt_no, idempotency_key, request_hash, state, owner, token, lease_expires_at,
        budget_ids, hold_amounts, worker_id, task_type, complexity, simulated)
    VALUES (
        p_task, p_policy, p_model, p_provider, p_worst_case, p_decision,
        p_attempt_no, p_key, p_request_hash, 'RESERVED', p_owner, p_token,
        clock_timestamp() + p_lease,
        budgets, holds, p_worker, p_task_type, p_complexity,
        p_simulated)
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING s.id, s.lease_expires_at INTO selection_id, lease_expires_at;
    IF NOT FOUND THEN  -- the key is known, or a racer with it was first
        SELECT known.* INTO answer, selection_id, lease_expires_at
          FROM ledger.answer_known_key(p_key, p_request_hash, p_token) known;
        RETURN;
    END IF;

    -- One balance: its update is lock, look and change at once. Several: all are locked, in the order
    -- of their ids that everybody keeps, and looked at before any is changed. Hold 0 fits everywhere.
    IF cardinality(budgets) = 1 THEN
        UPDATE cost_budgets b SET reserved_amount = b.reserved_amount + holds[1]
         WHERE b.id = budgets[1]
           AND (holds[1] = 0
                OR b.spent_amount + b.reserved_amount + holds[1] <= b.budget_amount);
        is_full := NOT FOUND;
    ELSE
        SELECT count(*) < cardinality(budgets)
               OR coalesce(bool_or(b.hold > 0
                       AND b.spent_amount + b.reserved_amount + b.hold > b.budget_amount), false)
          INTO is_full
          FROM (SELECT balance.budget_amount, balance.spent_amount, balance.reserved_amount,
                       wanted.hold
                  FROM unnest(budgets, holds) AS wanted (id, hold)
                  JOIN cost_budgets balance ON balance.id = wanted.id
                 ORDER BY balance.id
                   FOR NO KEY UPDATE OF balance) b;
        IF NOT is_full THEN
            UPDATE cost_budgets b SET reserved_amount = b.reserved_amount + wanted.hold
              FROM unnest(budgets, holds) AS wanted (id, hold)
             WHERE b.id = wanted.id;
        END IF;
    END IF;
    answer := 'reserved';
    IF is_full THEN
        DELETE FROM model_selections s WHERE s.id = selection_id;
        answer := 'rejected';
        selection_id := NULL;
        blocking := ledger.full_budgets(budgets, holds);
    END IF;
END $$;
