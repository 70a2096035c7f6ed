-- Which budgets cover a call: for every scope of the call and every period the active definition
-- that names the scope, else the template '*', with its live balance row (null before first use).
-- Written from the few definitions outwards: each plan node costs every reserve some microseconds.
CREATE FUNCTION ledger.covering(p_policy text, p_worker text, p_models text[], p_task uuid)
RETURNS TABLE (
    definition_id uuid, budget_type text, scope_key text, budget_period text,
    budget_amount numeric, alert_threshold numeric, time_zone text, mode text,
    budget_id uuid, spent_amount numeric, reserved_amount numeric,
    period_start timestamptz, period_end timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT d.id, d.budget_type, owner.key, d.budget_period,
           d.budget_amount, d.alert_threshold, d.time_zone, d.mode,
           live.id, live.spent_amount, live.reserved_amount, live.period_start, live.period_end
      FROM budget_definitions d
     CROSS JOIN LATERAL unnest(
               CASE d.budget_type
                    WHEN 'global' THEN ARRAY['*']
                    WHEN 'policy' THEN ARRAY[p_policy]
                    WHEN 'worker' THEN ARRAY[p_worker]
                    WHEN 'model' THEN p_models
                    WHEN 'task' THEN ARRAY[p_task::text] END) AS owner (key)
      LEFT JOIN LATERAL (
               SELECT b.* FROM cost_budgets b
                WHERE b.budget_type = d.budget_type AND b.scope_key = owner.key
                  AND b.budget_period = d.budget_period AND b.period_start <= now()
                ORDER BY b.period_start DESC LIMIT 1
           ) live ON live.period_end IS NULL OR live.period_end > now()
     WHERE d.is_active AND owner.key IS NOT NULL
       AND (d.scope_key = owner.key
            OR (d.scope_key = '*' AND NOT EXISTS (
                    SELECT FROM budget_definitions own
                     WHERE own.budget_type = d.budget_type AND own.scope_key = owner.key
                       AND own.budget_period = d.budget_period AND own.is_active)))
$$;

-- Make the balance rows that a call needs and that are not there yet. The definitions are locked
-- against a change of zone or amount meanwhile; rows are made in one order, so racers do not deadlock.
CREATE FUNCTION ledger.open_periods(p_policy text, p_worker text, p_models text[], p_task uuid)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM budget_definitions d
      WHERE d.id IN (SELECT c.definition_id
                       FROM ledger.covering(p_policy, p_worker, p_models, p_task) c
                      WHERE c.budget_id IS NULL)
      ORDER BY d.id FOR SHARE;
    INSERT INTO cost_budgets (definition_id, budget_type, scope_key, budget_period, budget_amount,
                              alert_threshold, time_zone, mode, period_start, period_end)
    SELECT c.definition_id, c.budget_type, c.scope_key, c.budget_period, c.budget_amount,
           c.alert_threshold, c.time_zone, c.mode, bounds.starts, bounds.ends
      FROM ledger.covering(p_policy, p_worker, p_models, p_task) c
     CROSS JOIN LATERAL ledger.new_period_bounds(
               c.budget_type, c.scope_key, c.budget_period, c.time_zone, now()) bounds
     WHERE c.budget_id IS NULL
     ORDER BY c.budget_type, c.scope_key, c.budget_period
        ON CONFLICT ON CONSTRAINT cost_budgets_scope DO NOTHING;
END $$;

-- What covers a call and what is left there, for the snapshot of a decision: reads only. A period
-- without a row yet shows its full amount. Of each decision also what is left of its own cap.
-- Planned once: a plan for each list of decisions would cost more than the look itself.
CREATE FUNCTION ledger.head_room(
    p_policy text, p_worker text, p_models text[], p_task uuid, p_decisions uuid[]
) RETURNS TABLE (
    budget_id uuid, budget_type text, scope_key text, budget_period text, budget_amount numeric,
    spent_amount numeric, reserved_amount numeric, alert_threshold numeric, time_zone text,
    mode text, period_start timestamptz, period_end timestamptz
) LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT c.budget_id, c.budget_type, c.scope_key, c.budget_period, c.budget_amount,
           coalesce(c.spent_amount, 0), coalesce(c.reserved_amount, 0), c.alert_threshold,
           c.time_zone, c.mode,
           CASE WHEN c.budget_id IS NOT NULL THEN c.period_start
                ELSE (ledger.new_period_bounds(c.budget_type, c.scope_key, c.budget_period,
                                               c.time_zone, now())).starts END,
           CASE WHEN c.budget_id IS NOT NULL THEN c.period_end
                ELSE (ledger.new_period_bounds(c.budget_type, c.scope_key, c.budget_period,
                                               c.time_zone, now())).ends END
      FROM ledger.covering(p_policy, p_worker, p_models, p_task) c
     UNION ALL
    SELECT b.id, b.budget_type, b.scope_key, b.budget_period, b.budget_amount, b.spent_amount,
           b.reserved_amount, b.alert_threshold, b.time_zone, b.mode, b.period_start, b.period_end
      FROM cost_budgets b WHERE b.id = ANY (p_decisions)
     ORDER BY 2, 3, 4;
END $$;
