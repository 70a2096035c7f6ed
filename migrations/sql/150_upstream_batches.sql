-- A provider's batch is still under way: the leases of its lines go on. Rows that were swept stay
-- UNKNOWN; their bill settles them as any other.
CREATE FUNCTION ledger.extend_leases_of(p_owner text, p_lease interval) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    extended integer;
BEGIN
    UPDATE model_selections s SET lease_expires_at = clock_timestamp() + p_lease
     WHERE s.settled_at IS NULL AND s.state = 'SENT' AND s.owner = p_owner;
    GET DIAGNOSTICS extended = ROW_COUNT;
    RETURN extended;
END $$;
