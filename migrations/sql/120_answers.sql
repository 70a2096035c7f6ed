-- Find a kept answer, else lead or follow: of all who ask the same at once, one leads and asks a
-- model, the others follow. Without a token only look. Ways: hit, lead, follow, alone.
CREATE FUNCTION ledger.find_answer(
    p_key text, p_token uuid, p_decision uuid, p_owner text, p_lease interval
) RETURNS TABLE (way text, decision_id uuid, answer jsonb, kept_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT 'hit', c.decision_id, c.answer, c.created_at FROM cached_answers c
                  WHERE c.key = p_key AND c.expires_at > clock_timestamp();
    IF FOUND OR p_token IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO answers_in_flight AS f (key, token, decision_id, owner, lease_expires_at)
    VALUES (p_key, p_token, p_decision, p_owner, clock_timestamp() + p_lease)
    ON CONFLICT (key) DO UPDATE SET
        token = excluded.token, decision_id = excluded.decision_id, owner = excluded.owner,
        is_open = false, lease_expires_at = excluded.lease_expires_at
     WHERE f.lease_expires_at <= clock_timestamp();
    IF NOT FOUND THEN
        RETURN QUERY SELECT CASE WHEN f.is_open THEN 'alone' ELSE 'follow' END, f.decision_id,
                            NULL::jsonb, NULL::timestamptz
                       FROM answers_in_flight f WHERE f.key = p_key;
        RETURN;
    END IF;
    -- The one before may have kept its answer since the first look: a new statement sees it.
    RETURN QUERY SELECT 'hit', c.decision_id, c.answer, c.created_at FROM cached_answers c
                  WHERE c.key = p_key AND c.expires_at > clock_timestamp();
    IF FOUND THEN
        DELETE FROM answers_in_flight f WHERE f.key = p_key AND f.token = p_token;
        RETURN;
    END IF;
    RETURN QUERY SELECT 'lead', p_decision, NULL::jsonb, NULL::timestamptz;
END $$;

-- What so many tokens cost at a price document: cached prompt tokens at their own price.
CREATE FUNCTION ledger.list_usd(
    p_price jsonb, p_prompt bigint, p_completion bigint, p_cached bigint
) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT (p_prompt - least(p_cached, p_prompt)) * (p_price ->> 'prompt_usd')::numeric
         + least(p_cached, p_prompt)
           * coalesce(p_price ->> 'cache_read_usd', p_price ->> 'prompt_usd')::numeric
         + p_completion * (p_price ->> 'completion_usd')::numeric
         + coalesce((p_price ->> 'request_usd')::numeric, 0)
$$;
