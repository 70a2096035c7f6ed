-- What is known of an answer by its check alone is kept apart, so that the check's errors can be
-- taken out of it: told_* are the part of weight and successes that nobody has scored.
ALTER TABLE model_selections ADD checked boolean NOT NULL DEFAULT false;
ALTER TABLE learned_hours
    ADD told_weight    double precision NOT NULL DEFAULT 0,
    ADD told_successes double precision NOT NULL DEFAULT 0;
