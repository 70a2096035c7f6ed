-- The hold that waited for a person changes hands once: to the approved run that asks first. Its
-- old token is void from then on, so that of two runs only one can send.
CREATE FUNCTION ledger.take_over(
    p_selection uuid, p_old_token uuid, p_new_token uuid, p_owner text, p_lease interval
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE model_selections s
       SET token = p_new_token, owner = p_owner, lease_expires_at = clock_timestamp() + p_lease
     WHERE s.id = p_selection AND s.token = p_old_token AND s.state = 'RESERVED'
       AND s.lease_expires_at > clock_timestamp();
    RETURN FOUND;
END $$;

-- A person's answer, given once; asked again it answers what was answered first. Approved: the
-- hold stays at least as long as a run needs to begin. Otherwise it is released at once.
CREATE FUNCTION ledger.answer_approval(
    p_decision uuid, p_answer text, p_approver text, p_note text, p_grace interval
) RETURNS approvals LANGUAGE plpgsql AS $$
DECLARE
    asked approvals;
BEGIN
    SELECT a.* INTO asked FROM approvals a WHERE a.decision_id = p_decision FOR NO KEY UPDATE;
    IF NOT FOUND OR asked.answer IS NOT NULL THEN
        RETURN asked;
    END IF;
    UPDATE approvals a
       SET answer = CASE WHEN a.expires_at <= clock_timestamp() THEN 'expired' ELSE p_answer END,
           approver = p_approver, note = p_note, answered_at = clock_timestamp()
     WHERE a.decision_id = p_decision RETURNING a.* INTO asked;
    IF asked.answer = 'approved' THEN
        UPDATE model_selections s
           SET lease_expires_at = greatest(s.lease_expires_at, clock_timestamp() + p_grace)
         WHERE s.id = asked.selection_id AND s.token = asked.token AND s.state = 'RESERVED'
           AND s.lease_expires_at > clock_timestamp();
    ELSE
        PERFORM ledger.release(asked.selection_id, asked.token, 'cancelled',
                               'the approval was ' || asked.answer, 'not_approved', NULL);
    END IF;
    RETURN asked;
END $$;
