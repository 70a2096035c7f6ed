-- Bring the open balance rows of one type and period in line with the definitions: the one that
-- names the scope, else the template. A row opened early for a coming period is made anew on use.
CREATE FUNCTION ledger.apply_definitions(p_type text, p_period text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM cost_budgets b
      WHERE b.definition_id IS NOT NULL AND b.budget_type = p_type AND b.budget_period = p_period
        AND (b.period_end IS NULL OR b.period_end > now())
      ORDER BY b.id FOR NO KEY UPDATE;
    DELETE FROM cost_budgets b
     WHERE b.budget_type = p_type AND b.budget_period = p_period AND b.period_start > now()
       AND b.spent_amount = 0 AND b.reserved_amount = 0
       AND NOT EXISTS (SELECT FROM budget_adjustments a WHERE a.budget_id = b.id);
    UPDATE cost_budgets b
       SET definition_id = effective.id, budget_amount = effective.budget_amount,
           mode = effective.mode, alert_threshold = effective.alert_threshold,
           alerted_at = CASE WHEN b.spent_amount
                                  >= effective.alert_threshold * effective.budget_amount
                             THEN b.alerted_at END
      FROM (SELECT DISTINCT ON (open_row.id) open_row.id AS budget_id, d.*
              FROM cost_budgets open_row
              JOIN budget_definitions d
                ON d.budget_type = open_row.budget_type
               AND d.budget_period = open_row.budget_period
               AND d.scope_key IN (open_row.scope_key, '*')
             WHERE open_row.definition_id IS NOT NULL AND d.is_active
               AND open_row.budget_type = p_type AND open_row.budget_period = p_period
               AND (open_row.period_end IS NULL OR open_row.period_end > now())
             ORDER BY open_row.id, d.scope_key = '*') effective
     WHERE b.id = effective.budget_id;
END $$;

-- State a limit. It holds at once, for the open period too.
CREATE FUNCTION ledger.set_budget(
    p_type text, p_scope text, p_period text, p_amount numeric, p_zone text, p_alert numeric,
    p_mode text, p_active boolean
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    definition uuid;
BEGIN
    PERFORM ledger.period_bounds('daily', p_zone, now());  -- refuses a zone PostgreSQL lacks
    INSERT INTO budget_definitions AS d (budget_type, scope_key, budget_period, budget_amount,
                                         time_zone, alert_threshold, mode, is_active)
    VALUES (p_type, p_scope, p_period, p_amount, p_zone, p_alert, p_mode, p_active)
    ON CONFLICT ON CONSTRAINT budget_definitions_scope DO UPDATE
       SET budget_amount = excluded.budget_amount, time_zone = excluded.time_zone,
           alert_threshold = excluded.alert_threshold, mode = excluded.mode,
           is_active = excluded.is_active, updated_at = now()
    RETURNING d.id INTO definition;
    PERFORM ledger.apply_definitions(p_type, p_period);
    RETURN definition;
END $$;

-- Every limit with its open balance rows; a limit that nobody used yet shows its coming period.
-- A template has a row per scope that used it, and stands for itself with nothing spent.
CREATE FUNCTION ledger.budgets()
RETURNS TABLE (
    definition_id uuid, budget_id uuid, budget_type text, scope_key text, budget_period text,
    budget_amount numeric, spent_amount numeric, reserved_amount numeric, alert_threshold numeric,
    time_zone text, mode text, is_active boolean, alerted_at timestamptz,
    period_start timestamptz, period_end timestamptz
) LANGUAGE sql STABLE AS $$
    WITH live AS (
        SELECT b.* FROM cost_budgets b
         WHERE b.definition_id IS NOT NULL AND b.period_start <= now()
           AND (b.period_end IS NULL OR b.period_end > now())
    )
    SELECT d.id, live.id, live.budget_type, live.scope_key, live.budget_period,
           live.budget_amount, live.spent_amount, live.reserved_amount, live.alert_threshold,
           d.time_zone, live.mode, d.is_active, live.alerted_at, live.period_start, live.period_end
      FROM live JOIN budget_definitions d ON d.id = live.definition_id
     UNION ALL
    SELECT d.id, NULL, d.budget_type, d.scope_key, d.budget_period, d.budget_amount, 0, 0,
           d.alert_threshold, d.time_zone, d.mode, d.is_active, NULL, bounds.starts, bounds.ends
      FROM budget_definitions d
     CROSS JOIN LATERAL ledger.period_bounds(d.budget_period, d.time_zone, now()) bounds
     WHERE NOT EXISTS (SELECT FROM live WHERE live.budget_type = d.budget_type
                          AND live.scope_key = d.scope_key
                          AND live.budget_period = d.budget_period)
     ORDER BY 3, 4, 5
$$;

-- Correct a balance by a row of its own; the entries stay as they were.
CREATE FUNCTION ledger.adjust(p_budget uuid, p_amount numeric, p_reason text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE cost_budgets b SET spent_amount = b.spent_amount + p_amount WHERE b.id = p_budget;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO budget_adjustments (budget_id, amount, reason)
    VALUES (p_budget, p_amount, p_reason);
    RETURN true;
END $$;

-- Open the period after each that ends soon. Nothing depends on it: a first use would open it too.
CREATE FUNCTION ledger.open_next_periods(p_within interval) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    opened integer;
BEGIN
    PERFORM 1 FROM budget_definitions d WHERE d.is_active ORDER BY d.id FOR SHARE;
    INSERT INTO cost_budgets (definition_id, budget_type, scope_key, budget_period, budget_amount,
                              alert_threshold, time_zone, mode, period_start, period_end)
    SELECT d.id, b.budget_type, b.scope_key, b.budget_period, d.budget_amount,
           d.alert_threshold, d.time_zone, d.mode, b.period_end, bounds.ends
      FROM cost_budgets b
      JOIN budget_definitions d ON d.id = b.definition_id AND d.is_active
     CROSS JOIN LATERAL ledger.period_bounds(b.budget_period, d.time_zone, b.period_end) bounds
     WHERE b.period_start <= now() AND b.period_end > now()
       AND b.period_end <= now() + p_within
     ORDER BY b.budget_type, b.scope_key, b.budget_period
        ON CONFLICT ON CONSTRAINT cost_budgets_scope DO NOTHING;
    GET DIAGNOSTICS opened = ROW_COUNT;
    RETURN opened;
END $$;

-- Report every period that has ended and is not closed yet; close those that are final: some time
-- past their end, with no hold left.
CREATE FUNCTION ledger.close_past_periods(p_final_after interval)
RETURNS TABLE (
    budget_id uuid, budget_type text, scope_key text, budget_period text, budget_amount numeric,
    spent_amount numeric, reserved_amount numeric, period_start timestamptz,
    period_end timestamptz, final boolean
) LANGUAGE plpgsql AS $$
DECLARE
    ended uuid[];
BEGIN
    SELECT array_agg(due.id) INTO ended
      FROM (SELECT b.id FROM cost_budgets b
             WHERE b.definition_id IS NOT NULL AND b.closed_at IS NULL AND b.period_end <= now()
             ORDER BY b.id FOR NO KEY UPDATE) due;
    UPDATE cost_budgets b SET closed_at = now()
     WHERE b.id = ANY (ended) AND b.reserved_amount = 0
       AND b.period_end <= now() - p_final_after;
    RETURN QUERY
    SELECT b.id, b.budget_type::text, b.scope_key::text, b.budget_period::text, b.budget_amount,
           b.spent_amount, b.reserved_amount, b.period_start, b.period_end,
           b.closed_at IS NOT NULL
      FROM cost_budgets b WHERE b.id = ANY (ended)
     ORDER BY b.period_end, b.budget_type, b.scope_key;
END $$;

-- Which share of its worst case a model really costs: the 95th percentile of its last 200 bills,
-- null below 20. What budgets of mode elastic hold.
CREATE FUNCTION ledger.elastic_ratio(p_model text) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN count(*) >= 20
                THEN least(percentile_disc(0.95) WITHIN GROUP (ORDER BY recent.share), 1) END
      FROM (SELECT s.actual_cost / s.estimated_cost AS share
              FROM model_selections s
             WHERE s.selected_model = p_model AND s.state = 'SETTLED' AND s.estimated_cost > 0
               AND s.settle_source <> 'assumed_max'
             ORDER BY s.created_at DESC LIMIT 200) recent
$$;
