-- Turns under rate limits (docs/limits.md). All clocks are the database's.

-- Whether a limit of this scope counts calls of this model.
CREATE FUNCTION ledger.limit_covers(p_scope text, p_model text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_scope = '*' OR p_scope = p_model OR (p_scope = '*:free' AND p_model LIKE '%:free')
$$;

-- How many calls may go at once after a pause: a twentieth of what the period allows.
CREATE FUNCTION ledger.limit_burst(p_requests integer) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT greatest(1, p_requests / 20) $$;

-- The space between calls, so that with the burst no window of a period holds more than `requests`;
-- two percent wider, because calls do not arrive exactly as they were sent.
-- 60 in 60 s: burst 3, 60 s / 58 * 1.02 = 1.055 s.
CREATE FUNCTION ledger.limit_space(p_requests integer, p_period_s double precision)
RETURNS interval LANGUAGE sql IMMUTABLE AS $$
    SELECT make_interval(
        secs => p_period_s / (p_requests - ledger.limit_burst(p_requests) + 1) * 1.02)
$$;

-- The round in which a new call of this worker has its turn. Every worker has one turn a round: a
-- call comes a round after the worker's last one, waiting or done, and never before the round that
-- is served now.
CREATE FUNCTION ledger.next_round(p_account text, p_worker text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT greatest(
        coalesce((SELECT min(t.round) FROM rate_tickets t
                   WHERE t.account = p_account AND NOT t.is_running),
                 (SELECT max(w.round) FROM rate_workers w WHERE w.account = p_account), 0),
        (SELECT max(t.round) + 1 FROM rate_tickets t
          WHERE t.account = p_account AND t.worker = p_worker AND NOT t.is_running),
        (SELECT w.round + 1 FROM rate_workers w
          WHERE w.account = p_account AND w.worker = p_worker))
$$;

-- Ask for a turn; whoever waits asks again with the same ticket. `go`: send in `wait_s` (at most
-- a twentieth of a second). `wait`: ask again, the turn is probably in `wait_s`. `late`: the turn
-- is in `wait_s`, which is more than `p_patience_s`; the ticket is gone.
-- A call has its turn when every limit that covers it has room for it and for all calls that come
-- before it in the queue and are held by nothing else.
CREATE FUNCTION ledger.take_turn(
    p_account text, p_model text, p_worker text, p_ticket uuid, p_patience_s double precision,
    p_lease_s double precision,
    OUT answer text, OUT wait_s double precision, OUT scope text, OUT must_return boolean
) LANGUAGE plpgsql AS $$
DECLARE
    now_at   timestamptz;
    mine     rate_tickets;
    rule     rate_limits;
    ahead    integer;
    running  integer;
    slot     timestamptz;  -- of one limit
    turn_at  timestamptz;  -- of all of them
    is_known boolean;
    limited  boolean := false;
    seats    boolean := false;
BEGIN
    -- Turns are no money: after a crash of the server it is enough to begin anew.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM 1 FROM rate_limits l
      WHERE l.account = p_account AND ledger.limit_covers(l.scope, p_model)
      ORDER BY l.scope, l.source FOR NO KEY UPDATE;
    now_at := clock_timestamp();
    DELETE FROM rate_tickets t
      WHERE t.id IN (SELECT d.id FROM rate_tickets d
                      WHERE d.account = p_account AND d.expires_at <= now_at
                        FOR UPDATE SKIP LOCKED);
    SELECT t.* INTO mine FROM rate_tickets t WHERE t.id = p_ticket;
    is_known := FOUND;
    IF NOT is_known THEN
        IF random() < 0.001 THEN  -- who has not called for a day needs no memory of it
            DELETE FROM rate_workers w WHERE w.taken_at < now_at - interval '1 day';
        END IF;
        mine := ROW(p_ticket, p_account, p_model, p_worker,
                    ledger.next_round(p_account, p_worker), false, '', now_at, now_at, now_at);
    END IF;

    turn_at := now_at;
    FOR rule IN SELECT l.* FROM rate_limits l
                 WHERE l.account = p_account AND ledger.limit_covers(l.scope, p_model)
                   AND (l.expires_at IS NULL OR l.expires_at > now_at)
                 ORDER BY l.scope, l.source LOOP
        limited := true;
        SELECT count(*) FILTER (WHERE NOT t.is_running
                                  AND (t.round, t.created_at, t.id)
                                      < (mine.round, mine.created_at, mine.id)
                                  AND (t.held_by = rule.scope OR t.not_before <= now_at)),
               count(*) FILTER (WHERE t.is_running)
          INTO ahead, running
          FROM rate_tickets t
         WHERE t.account = p_account AND ledger.limit_covers(rule.scope, t.model);
        slot := greatest(now_at, rule.blocked_until);
        IF rule.requests IS NOT NULL THEN
            slot := greatest(
                slot + CASE WHEN rule.blocked_until > now_at THEN ahead ELSE 0 END
                       * ledger.limit_space(rule.requests, rule.period_s),
                rule.next_at + (ahead + 1 - ledger.limit_burst(rule.requests))
                               * ledger.limit_space(rule.requests, rule.period_s));
        END IF;
        IF rule.concurrency IS NOT NULL THEN
            seats := true;
            IF running + ahead >= rule.concurrency THEN  -- nobody knows when a call ends
                slot := greatest(slot, now_at + least(1 + ahead, 10) * interval '0.1 s');
            END IF;
        END IF;
        IF slot > turn_at THEN
            turn_at := slot;
            scope := rule.scope;
        END IF;
    END LOOP;

    wait_s := extract(epoch FROM turn_at - now_at);
    must_return := false;
    IF wait_s <= 0.05 THEN
        answer := 'go';
        must_return := seats;
        DELETE FROM rate_tickets t WHERE t.id = p_ticket AND NOT seats;
        IF seats THEN
            INSERT INTO rate_tickets AS t (id, account, model, worker, round, is_running, held_by,
                                           not_before, created_at, expires_at)
            VALUES (p_ticket, p_account, p_model, p_worker, mine.round, true, '', now_at,
                    mine.created_at, now_at + make_interval(secs => p_lease_s))
            ON CONFLICT (id) DO UPDATE
               SET is_running = true, expires_at = excluded.expires_at;
        END IF;
        IF limited THEN
            INSERT INTO rate_workers AS w (account, worker, round, taken_at)
            VALUES (p_account, p_worker, mine.round, now_at)
            ON CONFLICT (account, worker) DO UPDATE
               SET round = greatest(w.round, excluded.round), taken_at = excluded.taken_at;
            UPDATE rate_limits l
               SET next_at = CASE WHEN l.requests IS NULL THEN l.next_at
                                  ELSE greatest(l.next_at, now_at)
                                       + ledger.limit_space(l.requests, l.period_s) END,
                   turns = l.turns + 1, waits = l.waits + is_known::integer,
                   waited_s = l.waited_s + extract(epoch FROM now_at - mine.created_at)
             WHERE l.account = p_account AND ledger.limit_covers(l.scope, p_model);
        END IF;
    ELSIF wait_s > p_patience_s THEN
        answer := 'late';
        DELETE FROM rate_tickets t WHERE t.id = p_ticket;
        UPDATE rate_limits l SET refusals = l.refusals + 1
         WHERE l.account = p_account AND l.scope = take_turn.scope;
    ELSE
        answer := 'wait';
        INSERT INTO rate_tickets AS t (id, account, model, worker, round, is_running, held_by,
                                       not_before, created_at, expires_at)
        VALUES (p_ticket, p_account, p_model, p_worker, mine.round, false, take_turn.scope,
                turn_at, mine.created_at,
                now_at + make_interval(secs => ledger.turn_pause(wait_s) + 3))
        ON CONFLICT (id) DO UPDATE
           SET held_by = excluded.held_by, not_before = excluded.not_before,
               expires_at = excluded.expires_at;
        wait_s := ledger.turn_pause(wait_s);
    END IF;
END $$;

-- When a waiting call asks again: half-way, so that it hears of calls before it that went away.
CREATE FUNCTION ledger.turn_pause(p_wait_s double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_wait_s < 0.5 THEN p_wait_s ELSE least(p_wait_s / 2, 5) END
$$;

-- Keep what a 429 taught. A limit without a number of requests only blocks; what an earlier lesson
-- said of it stays while that is alive. Where a person set a number, a 429 teaches none.
CREATE FUNCTION ledger.learn_limit(
    p_account text, p_scope text, p_requests integer, p_period_s double precision,
    p_blocked_s double precision, p_keep_s double precision
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO rate_limits AS l (account, scope, source, requests, period_s, blocked_until,
                                  expires_at, lessons)
    SELECT p_account, p_scope, 'learned', CASE WHEN known.is_set THEN NULL ELSE p_requests END,
           coalesce(p_period_s, 60), clock_timestamp() + make_interval(secs => p_blocked_s),
           clock_timestamp() + make_interval(
               secs => CASE WHEN known.is_set THEN p_blocked_s ELSE p_keep_s END), 1
      FROM (SELECT EXISTS (SELECT FROM rate_limits s
                            WHERE s.account = p_account AND s.scope = p_scope
                              AND s.source = 'set' AND s.requests IS NOT NULL) AS is_set) known
    ON CONFLICT (account, scope, source) DO UPDATE
       SET requests = CASE WHEN l.expires_at > clock_timestamp()
                           THEN coalesce(excluded.requests, l.requests)
                           ELSE excluded.requests END,
           period_s = CASE WHEN excluded.requests IS NULL THEN l.period_s
                           ELSE excluded.period_s END,
           blocked_until = greatest(l.blocked_until, excluded.blocked_until),
           expires_at = greatest(l.expires_at, excluded.expires_at),
           lessons = l.lessons + 1, updated_at = clock_timestamp()
$$;
