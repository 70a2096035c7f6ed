-- Claim the database for simulated or for real money; answers what it is claimed for.
CREATE FUNCTION ledger.claim_installation(p_simulated boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO installation (simulated) VALUES (p_simulated) ON CONFLICT DO NOTHING;
    RETURN (SELECT i.simulated FROM installation i);
END $$;
