-- The one place that knows where a budget's period begins and ends.
-- Counted in local dates: adding a day to a local timestamp is wrong where midnight does not exist
-- (Cairo 2026-04-24). Where midnight happens twice (Havana 2026-11-01) PostgreSQL takes the second;
-- the hour between the two then belongs to the day before, so that periods stay contiguous.
CREATE FUNCTION ledger.period_bounds(
    p_period text, p_zone text, p_at timestamptz,
    OUT starts timestamptz, OUT ends timestamptz
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    local_day  date := (p_at AT TIME ZONE p_zone)::date;
    first_day  date;
    next_first date;
BEGIN
    IF p_period = 'once' THEN
        starts := 'epoch';
        RETURN;
    END IF;
    LOOP
        CASE p_period
            WHEN 'daily' THEN
                first_day := local_day;
                next_first := first_day + 1;
            WHEN 'weekly' THEN
                first_day := date_trunc('week', local_day::timestamp)::date;
                next_first := first_day + 7;
            WHEN 'monthly' THEN
                first_day := date_trunc('month', local_day::timestamp)::date;
                next_first := (first_day + interval '1 month')::date;
        END CASE;
        starts := first_day::timestamp AT TIME ZONE p_zone;
        ends := next_first::timestamp AT TIME ZONE p_zone;
        IF p_at < starts THEN
            local_day := first_day - 1;
        ELSIF p_at >= ends THEN
            local_day := next_first;
        ELSE
            RETURN;
        END IF;
    END LOOP;
END $$;

-- The bounds of a balance row to be made now: as above, but never before the end of the row
-- before it, so that a change of time zone neither overlaps nor forgets what was spent.
CREATE FUNCTION ledger.new_period_bounds(
    p_type text, p_scope text, p_period text, p_zone text, p_at timestamptz,
    OUT starts timestamptz, OUT ends timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT greatest(
               bounds.starts,
               (SELECT max(b.period_end) FROM cost_budgets b
                 WHERE b.budget_type = p_type AND b.scope_key = p_scope
                   AND b.budget_period = p_period AND b.period_end <= p_at)),
           bounds.ends
      FROM ledger.period_bounds(p_period, p_zone, p_at) bounds
$$;

-- "worker:w1 daily", "global daily"; the cap of one request is "request limit".
CREATE FUNCTION ledger.budget_name(p_type text, p_scope text, p_period text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_scope LIKE 'decision:%' THEN 'request limit'
                WHEN p_scope = '*' THEN p_type || ' ' || p_period
                ELSE p_type || ':' || p_scope || ' ' || p_period END
$$;
