-- Recompute every balance from the entries and the adjustments, in one snapshot.
-- Entries are summed per set of shared budgets (few) and per request cap (the decision's own id), so
-- that no row is unnested unless its hold is open.
CREATE FUNCTION ledger.audit(
    OUT entries bigint, OUT balances bigint, OUT spent_usd numeric, OUT held_usd numeric,
    OUT assumed_rows bigint, OUT overrun_rows bigint, OUT differences jsonb
) LANGUAGE sql STABLE SET work_mem = '64MB' SET jit = off AS $$
    WITH billed AS MATERIALIZED (
        SELECT CASE WHEN s.decision_id = ANY (s.budget_ids)
                    THEN array_remove(s.budget_ids, s.decision_id) ELSE s.budget_ids END AS shared,
               count(*) AS entries, sum(s.actual_cost) AS spent,
               sum(s.estimated_cost) FILTER (WHERE s.settled_at IS NULL) AS held,
               count(*) FILTER (WHERE s.settle_source = 'assumed_max') AS assumed,
               count(*) FILTER (WHERE s.overrun_usd > 0) AS overruns
          FROM model_selections s GROUP BY 1
    ), truth AS (
        SELECT moved.id, sum(moved.spent) AS spent, sum(moved.held) AS held
          FROM (SELECT shared.id, billed.spent, 0 AS held
                  FROM billed CROSS JOIN LATERAL unnest(billed.shared) AS shared (id)
                 UNION ALL
                SELECT part.id, 0, part.hold
                  FROM model_selections s
                 CROSS JOIN LATERAL unnest(s.budget_ids, s.hold_amounts) AS part (id, hold)
                 WHERE s.settled_at IS NULL AND part.id <> s.decision_id
                 UNION ALL
                SELECT a.budget_id, a.amount, 0 FROM budget_adjustments a
                 WHERE NOT EXISTS (SELECT FROM model_selections s
                                    WHERE s.decision_id = a.budget_id)) moved
         GROUP BY moved.id
         UNION ALL
        SELECT s.decision_id,
               coalesce(sum(s.actual_cost), 0)
                   + coalesce((SELECT sum(a.amount) FROM budget_adjustments a
                                WHERE a.budget_id = s.decision_id), 0),
               coalesce(sum(s.estimated_cost) FILTER (WHERE s.settled_at IS NULL), 0)
          FROM model_selections s WHERE s.decision_id = ANY (s.budget_ids)
         GROUP BY s.decision_id
    ), different AS (
        SELECT coalesce(b.id, t.id) AS id, b.budget_type, b.scope_key, b.budget_period,
               b.period_start, b.spent_amount, b.reserved_amount,
               t.spent AS true_spent, t.held AS true_held
          FROM cost_budgets b FULL JOIN truth t ON t.id = b.id
         WHERE b.id IS NULL
            OR b.spent_amount <> coalesce(t.spent, 0)
            OR b.reserved_amount <> coalesce(t.held, 0)
    )
    SELECT coalesce(sum(billed.entries), 0)::bigint,
           (SELECT count(*) FROM cost_budgets),
           coalesce(sum(billed.spent), 0), coalesce(sum(billed.held), 0),
           coalesce(sum(billed.assumed), 0)::bigint, coalesce(sum(billed.overruns), 0)::bigint,
           (SELECT jsonb_agg(jsonb_build_object(
                       'budget_id', d.id,
                       'budget', ledger.budget_name(d.budget_type, d.scope_key, d.budget_period),
                       'period_start', d.period_start,
                       'stated_spent_usd', d.spent_amount::text,
                       'true_spent_usd', coalesce(d.true_spent, 0)::text,
                       'stated_reserved_usd', d.reserved_amount::text,
                       'true_reserved_usd', coalesce(d.true_held, 0)::text))
              FROM different d)
      FROM billed
$$;
