-- What a key that is already there answers. The same token asking again is a lost acknowledgement:
-- its hold stands. Anyone else continues from the row, and pays nothing.
CREATE FUNCTION ledger.answer_known_key(
    p_key text, p_request_hash text, p_token uuid, p_sent_lease interval,
    OUT answer text, OUT selection_id uuid, OUT lease_expires_at timestamptz, OUT sent boolean
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT CASE WHEN s.request_hash <> p_request_hash THEN 'conflict'
                WHEN s.token = p_token AND s.state = 'RESERVED'
                     AND s.lease_expires_at > clock_timestamp() THEN 'reserved'
                ELSE 'replay' END,
           s.id, s.lease_expires_at
      INTO answer, selection_id, lease_expires_at
      FROM model_selections s WHERE s.idempotency_key = p_key;
    sent := false;
    IF p_sent_lease IS NOT NULL AND answer <> 'conflict' THEN
        sent := ledger.mark_sent(selection_id, p_token, p_sent_lease);
    END IF;
END $$;

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
-- With p_sent_lease the caller sends as soon as this is committed: the entry is written as SENT, with
-- that lease, and `sent` says whether this token may send, as ledger.mark_sent does.
-- Everything that can be done before the balances are locked is done before: the hot row is held
-- only for its update and the commit. Lock order: definitions, entry, balances by id.
CREATE FUNCTION ledger.reserve(
    p_key text, p_request_hash text, p_decision uuid, p_attempt_no integer, p_token uuid,
    p_owner text, p_model text, p_provider text, p_policy text, p_worst_case numeric,
    p_elastic numeric, p_task_cap numeric, p_task uuid, p_worker text, p_task_type text,
    p_complexity text, p_simulated boolean, p_lease interval, p_sent_lease interval DEFAULT NULL,
    OUT answer text, OUT selection_id uuid, OUT lease_expires_at timestamptz, OUT blocking jsonb,
    OUT sent boolean
) LANGUAGE plpgsql AS $$
DECLARE
    budgets    uuid[];
    holds      numeric[];
    is_covered boolean;
    unopened   boolean;
    new_cap    uuid;
    held       integer := 0;  -- so many balances have their hold
BEGIN
    IF p_worst_case < 0 OR p_elastic < 0 THEN
        RAISE EXCEPTION 'a hold cannot be negative' USING ERRCODE = 'check_violation';
    END IF;
    FOR round IN 1..2 LOOP
        SELECT array_agg(wanted.id ORDER BY wanted.id), array_agg(wanted.hold ORDER BY wanted.id),
               bool_or(wanted.is_shared), bool_or(wanted.id IS NULL)
          INTO budgets, holds, is_covered, unopened
          FROM (SELECT c.budget_id, CASE c.mode WHEN 'elastic' THEN p_elastic ELSE p_worst_case END,
                       true
                  FROM ledger.covering(p_policy, p_worker, ARRAY[p_model], p_task) c
                 UNION ALL  -- the balance row of the request's own cap has the decision's id
                SELECT p_decision, p_worst_case, false WHERE p_task_cap IS NOT NULL
               ) AS wanted (id, hold, is_shared);
        EXIT WHEN NOT unopened OR unopened IS NULL;
        IF round = 2 THEN
            RAISE EXCEPTION 'a budget that covers % could not be opened', p_key;
        END IF;
        PERFORM ledger.open_periods(p_policy, p_worker, ARRAY[p_model], p_task);
    END LOOP;
    IF is_covered IS NOT TRUE AND p_worst_case > 0 THEN
        SELECT known.* INTO answer, selection_id, lease_expires_at, sent
          FROM ledger.answer_known_key(p_key, p_request_hash, p_token, p_sent_lease) known;
        answer := coalesce(answer, 'uncovered');
        RETURN;
    END IF;
    budgets := coalesce(budgets, '{}');
    holds := coalesce(holds, '{}');

    IF p_task IS NOT NULL THEN
        INSERT INTO governance_tasks (id) VALUES (p_task) ON CONFLICT DO NOTHING;
    END IF;
    sent := p_sent_lease IS NOT NULL;
    INSERT INTO model_selections AS s (
        task_id, policy_name, selected_model, selected_provider, estimated_cost, decision_id,
        attempt_no, idempotency_key, request_hash, state, owner, token, lease_expires_at, sent_at,
        budget_ids, hold_amounts, worker_id, task_type, complexity, simulated)
    VALUES (
        p_task, p_policy, p_model, p_provider, p_worst_case, p_decision,
        p_attempt_no, p_key, p_request_hash, CASE WHEN sent THEN 'SENT' ELSE 'RESERVED' END,
        p_owner, p_token, clock_timestamp() + coalesce(p_sent_lease, p_lease),
        CASE WHEN sent THEN clock_timestamp() END,
        budgets, holds, p_worker, p_task_type, p_complexity,
        p_simulated)
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING s.id, s.lease_expires_at INTO selection_id, lease_expires_at;
    IF NOT FOUND THEN  -- the key is known, or a racer with it was first
        SELECT known.* INTO answer, selection_id, lease_expires_at, sent
          FROM ledger.answer_known_key(p_key, p_request_hash, p_token, p_sent_lease) known;
        RETURN;
    END IF;

    IF p_task_cap IS NOT NULL THEN  -- a new cap takes its hold as it is made, if that fits
        INSERT INTO cost_budgets AS b (id, budget_type, scope_key, budget_period, budget_amount,
                                       period_start, reserved_amount)
        VALUES (p_decision, 'task', 'decision:' || p_decision, 'once', p_task_cap, 'epoch',
                CASE WHEN p_worst_case <= p_task_cap THEN p_worst_case ELSE 0 END)
            ON CONFLICT DO NOTHING
     RETURNING CASE WHEN p_worst_case <= p_task_cap THEN b.id END INTO new_cap;
    END IF;
    -- Each update is lock, look and change at once, in the order of the ids that everybody keeps.
    -- One statement for all would be planned anew at every call. Hold 0 fits everywhere.
    FOR place IN 1..cardinality(budgets) LOOP
        IF budgets[place] IS DISTINCT FROM new_cap THEN
            UPDATE cost_budgets b SET reserved_amount = b.reserved_amount + holds[place]
             WHERE b.id = budgets[place]
               AND (holds[place] = 0
                    OR b.spent_amount + b.reserved_amount + holds[place] <= b.budget_amount);
            EXIT WHEN NOT FOUND;
        END IF;
        held := place;
    END LOOP;
    answer := 'reserved';
    IF held < cardinality(budgets) THEN
        FOR place IN 1..cardinality(budgets) LOOP  -- nobody has seen it: these rows are ours
            IF place <= held OR budgets[place] = new_cap THEN
                UPDATE cost_budgets b SET reserved_amount = b.reserved_amount - holds[place]
                 WHERE b.id = budgets[place];
            END IF;
        END LOOP;
        DELETE FROM model_selections s WHERE s.id = selection_id;
        answer := 'rejected';
        selection_id := NULL;
        sent := false;
        blocking := ledger.full_budgets(budgets, holds);
        IF blocking = '[]' THEN  -- room came back since: what had none is named all the same
            blocking := ledger.full_budgets(ARRAY[budgets[held + 1]], ARRAY['Infinity'::numeric]);
        END IF;
    END IF;
END $$;
