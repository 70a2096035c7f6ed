-- The fence: true once, for the token that holds the lease, while it lives. The same token may ask
-- again (a lost acknowledgement); anyone else must not send.
CREATE FUNCTION ledger.mark_sent(p_selection uuid, p_token uuid, p_lease interval) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE model_selections s
       SET state = 'SENT', sent_at = coalesce(s.sent_at, clock_timestamp()),
           lease_expires_at = clock_timestamp() + p_lease
     WHERE s.id = p_selection AND s.token = p_token AND s.state IN ('RESERVED', 'SENT')
       AND s.lease_expires_at > clock_timestamp();
    RETURN FOUND;
END $$;

-- A stream that still flows, or a hold that waits for a person. A RESERVED lease that has run out
-- cannot be revived; a SENT one can, until the sweep has made it UNKNOWN.
CREATE FUNCTION ledger.extend_lease(p_selection uuid, p_token uuid, p_lease interval)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE model_selections s SET lease_expires_at = clock_timestamp() + p_lease
     WHERE s.id = p_selection AND s.token = p_token
       AND (s.state = 'SENT'
            OR (s.state = 'RESERVED' AND s.lease_expires_at > clock_timestamp()));
    RETURN FOUND;
END $$;

-- Kept as soon as headers arrive: with it a call whose answer was lost can still be priced.
CREATE FUNCTION ledger.note_generation(p_selection uuid, p_generation text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE model_selections s
       SET generation_id = p_generation,
           reconcile_after = CASE s.state WHEN 'UNKNOWN' THEN clock_timestamp() END
     WHERE s.id = p_selection AND s.state IN ('SENT', 'UNKNOWN');
    RETURN FOUND;
END $$;
