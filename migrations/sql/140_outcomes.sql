-- Every attempt that was sent and has ended, as reports and learning see it.
-- success: answered, finished properly, and its checks passed; whoever scored the attempt, or the
-- decision whose last attempt it is, knows better (0.5 and more is right). A call without an answer
-- stays a failure. teaches: whether it says something about the model, rather than about our
-- account, the request or a worker that vanished. failed_before: answers of the decision before it
-- that failed their check, two at most; of models that are asked at once, none is before another.
-- told_by_check: nothing but the request's own check says whether the answer was right.
CREATE FUNCTION ledger.outcomes() RETURNS TABLE (
    id uuid, decision_id uuid, attempt_no integer, created_at timestamptz, hour timestamptz,
    model_id varchar, provider varchar, policy_name varchar, worker_id varchar,
    task_type varchar, complexity varchar, failed_before integer, answered boolean,
    success boolean, teaches boolean, cost_usd numeric, tokens integer, latency_ms integer,
    error_kind varchar, score numeric, told_by_check boolean
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT s.id, s.decision_id, s.attempt_no, s.created_at,
           date_trunc('hour', s.created_at, 'UTC'),
           s.selected_model, s.selected_provider, s.policy_name, s.worker_id,
           s.task_type, s.complexity,
           CASE WHEN s.attempt_no > 1 THEN (
               SELECT least(count(*), 2)::integer FROM model_selections earlier
                WHERE earlier.decision_id = s.decision_id AND earlier.attempt_no < s.attempt_no
                  AND earlier.outcome = 'rejected_answer'
                  AND earlier.settled_at <= s.sent_at) ELSE 0 END,
           s.outcome IN ('ok', 'rejected_answer'),
           s.outcome IN ('ok', 'rejected_answer') AND coalesce(
               own.score >= 0.5, whole.score >= 0.5,
               s.outcome = 'ok'
               AND coalesce(s.finish_reason, '') NOT IN ('length', 'content_filter')),
           coalesce(s.error_kind, '') NOT IN (
               'account_limit', 'account_money', 'in_flight_limit', 'too_expensive',
               'access_denied', 'bad_request', 'model_unsuitable', 'cancelled', 'interrupted',
               'lease_expired', 'no_usage'),
           coalesce(s.actual_cost, 0), s.tokens_used, s.response_time_ms, s.error_kind,
           CASE WHEN s.outcome IN ('ok', 'rejected_answer')
                THEN coalesce(own.score, whole.score) END,
           s.checked AND coalesce(own.score, whole.score) IS NULL
      FROM model_selections s
      LEFT JOIN decision_feedback own
        ON own.decision_id = s.decision_id AND own.attempt_no = s.attempt_no
      LEFT JOIN decision_feedback whole
        ON whole.decision_id = s.decision_id AND whole.attempt_no IS NULL
       AND NOT EXISTS (SELECT FROM model_selections later
                        WHERE later.decision_id = s.decision_id
                          AND later.attempt_no > s.attempt_no)
     WHERE s.sent_at IS NOT NULL AND s.outcome IS NOT NULL
$$;
