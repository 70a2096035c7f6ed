"""The ways in which the ledger's SQL is broken on purpose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of one file: the first place that reads `old` reads `new`."""

    name: str
    file: str
    old: str
    new: str

    def applied(self, source: str) -> str:
        """Return the broken source; raises ValueError where the text has moved on."""
        if self.old not in source:
            raise ValueError(f"{self.name}: {self.file} no longer says {self.old!r}")
        return source.replace(self.old, self.new, 1)


RESERVE, SEND, SETTLE = "030_reserve.sql", "040_send.sql", "050_settle.sql"
SCOPES, RECOVERY, BUDGETS = "020_scopes.sql", "060_recovery.sql", "070_budgets.sql"
FITS = "OR b.spent_amount + b.reserved_amount + holds[place] <= b.budget_amount);"
HELD = "IF place <= held OR budgets[place] = new_cap THEN"
BOOKED = "SET spent_amount = b.spent_amount + p_cost"
MUTATIONS = (
    Mutation(
        "limit off by one hold",
        RESERVE,
        FITS,
        FITS.replace("+ holds[place] <=", "<="),
    ),
    Mutation(
        "limit forgets what is held",
        RESERVE,
        FITS,
        FITS.replace("+ b.reserved_amount ", ""),
    ),
    Mutation(
        "limit forgets what is spent",
        RESERVE,
        FITS,
        FITS.replace("b.spent_amount + ", ""),
    ),
    Mutation(
        "limit refuses the exact fit",
        RESERVE,
        FITS,
        FITS.replace(" <= b.", " < b."),
    ),
    Mutation("free call is refused", RESERVE, "(holds[place] = 0\n", "(false\n"),
    Mutation(
        "rejected hold leaves its entry",
        RESERVE,
        "DELETE FROM model_selections s WHERE s.id = selection_id;",
        "NULL;",
    ),
    Mutation(
        "hold is not written to the balances",
        RESERVE,
        "SET reserved_amount = b.reserved_amount + holds[place]",
        "SET reserved_amount = b.reserved_amount",
    ),
    Mutation("only the first balance is looked at", RESERVE, "EXIT WHEN NOT FOUND;", "NULL;"),
    Mutation(
        "refused hold stays in the balances before",
        RESERVE,
        "SET reserved_amount = b.reserved_amount - holds[place]",
        "SET reserved_amount = b.reserved_amount",
    ),
    Mutation("refused hold stays in its new cap", RESERVE, HELD, "IF place <= held THEN"),
    Mutation("refused hold leaves what never had it", RESERVE, HELD, "IF true THEN"),
    Mutation(
        "new cap forgets its hold",
        RESERVE,
        "CASE WHEN p_worst_case <= p_task_cap THEN p_worst_case ELSE 0 END",
        "0",
    ),
    Mutation(
        "new cap is not looked at",
        RESERVE,
        "CASE WHEN p_worst_case <= p_task_cap THEN b.id END",
        "b.id",
    ),
    Mutation(
        "new cap holds twice",
        RESERVE,
        "IF budgets[place] IS DISTINCT FROM new_cap THEN",
        "IF true THEN",
    ),
    Mutation(
        "what is sent at once is not marked",
        RESERVE,
        "CASE WHEN sent THEN 'SENT' ELSE 'RESERVED' END",
        "'RESERVED'",
    ),
    Mutation("hold of another request is sent", RESERVE, "AND answer <> 'conflict' THEN", "THEN"),
    Mutation(
        "hold that is asked for again is not marked",
        RESERVE,
        "sent := ledger.mark_sent(selection_id, p_token, p_sent_lease);",
        "sent := true;",
    ),
    Mutation(
        "elastic budgets hold the worst case",
        RESERVE,
        "CASE c.mode WHEN 'elastic' THEN p_elastic ELSE p_worst_case END",
        "p_worst_case",
    ),
    Mutation(
        "hard budgets hold the quantile",
        RESERVE,
        "CASE c.mode WHEN 'elastic' THEN p_elastic ELSE p_worst_case END",
        "p_elastic",
    ),
    Mutation(
        "request cap is ignored", RESERVE, "false WHERE p_task_cap IS NOT NULL", "false WHERE false"
    ),
    Mutation(
        "uncovered call is admitted",
        RESERVE,
        "IF is_covered IS NOT TRUE AND p_worst_case > 0 THEN",
        "IF false THEN",
    ),
    Mutation(
        "other request under a known key",
        RESERVE,
        "s.request_hash <> p_request_hash",
        "false",
    ),
    Mutation(
        "any token gets the hold again",
        RESERVE,
        "s.token = p_token AND s.state = 'RESERVED'",
        "s.state = 'RESERVED'",
    ),
    Mutation(
        "expired hold is given again",
        RESERVE,
        "AND s.lease_expires_at > clock_timestamp()",
        "",
    ),
    Mutation(
        "fence ignores the token", SEND, "AND s.token = p_token AND s.state IN", "AND s.state IN"
    ),
    Mutation(
        "fence ignores the lease",
        SEND,
        "\n       AND s.lease_expires_at > clock_timestamp();",
        ";",
    ),
    Mutation(
        "fence lets a released row send",
        SEND,
        "('RESERVED', 'SENT')",
        "('RESERVED', 'SENT', 'RELEASED')",
    ),
    Mutation(
        "expired hold is revived",
        SEND,
        "AND s.lease_expires_at > clock_timestamp()));",
        "));",
    ),
    Mutation(
        "double settle",
        SETTLE,
        "AND s.state IN ('SENT', 'UNKNOWN', 'RELEASED')",
        "AND s.state IN ('SENT', 'UNKNOWN', 'RELEASED', 'SETTLED')",
    ),
    Mutation(
        "unsent row is settled",
        SETTLE,
        "AND s.state IN ('SENT', 'UNKNOWN', 'RELEASED')",
        "AND s.state IN ('SENT', 'UNKNOWN', 'RELEASED', 'RESERVED')",
    ),
    Mutation(
        "late settle frees the hold twice",
        SETTLE,
        "holds := array_fill(0::numeric, ARRAY[cardinality(budgets)]);",
        "NULL;",
    ),
    Mutation(
        "settle keeps the holds",
        SETTLE,
        "reserved_amount = b.reserved_amount - p_holds[place]",
        "reserved_amount = b.reserved_amount",
    ),
    Mutation(
        "settle books the holds, not the bill",
        SETTLE,
        BOOKED,
        BOOKED.replace("p_cost", "least(p_cost, p_holds[place])"),
    ),
    Mutation(
        "settle books into the first balance only",
        SETTLE,
        "FOR place IN 1..cardinality(p_budgets) LOOP",
        "FOR place IN 1..1 LOOP",
    ),
    Mutation(
        "one of several alerts is lost",
        SETTLE,
        "reached := reached || crossed;",
        "reached := ARRAY[crossed];",
    ),
    Mutation(
        "overrun is not reported",
        SETTLE,
        "overrun_usd = greatest(p_cost - s.estimated_cost, 0),",
        "overrun_usd = 0,",
    ),
    Mutation(
        "alert every time",
        SETTLE,
        "CASE WHEN p_alerted_at IS NULL AND p_cost > 0",
        "CASE WHEN p_cost > 0",
    ),
    Mutation(
        "alert for nothing",
        SETTLE,
        "p_alerted_at IS NULL AND p_cost > 0",
        "p_alerted_at IS NULL",
    ),
    Mutation(
        "alert above, not at, the threshold",
        SETTLE,
        "p_spent + p_cost >= p_alert_usd",
        "p_spent + p_cost > p_alert_usd",
    ),
    Mutation(
        "alert for the request cap",
        SETTLE,
        "b.alerted_at = booked_at AND b.definition_id IS NOT NULL",
        "b.alerted_at = booked_at",
    ),
    Mutation(
        "double release",
        SETTLE,
        "entry.state NOT IN ('RESERVED', 'SENT')",
        "entry.state NOT IN ('RESERVED', 'SENT', 'RELEASED')",
    ),
    Mutation(
        "unknown row is released",
        SETTLE,
        "entry.state NOT IN ('RESERVED', 'SENT')",
        "entry.state NOT IN ('RESERVED', 'SENT', 'UNKNOWN')",
    ),
    Mutation(
        "stranger releases",
        SETTLE,
        "WHERE s.id = p_selection AND s.token = p_token FOR NO KEY UPDATE;",
        "WHERE s.id = p_selection FOR NO KEY UPDATE;",
    ),
    Mutation(
        "sweep releases sent rows",
        RECOVERY,
        "AND s.state = 'SENT';\n    GET",
        "AND false;\n    GET",
    ),
    Mutation(
        "sweep takes live leases", RECOVERY, "AND s.lease_expires_at <= clock_timestamp()\n", "\n"
    ),
    Mutation(
        "sweep keeps the holds",
        RECOVERY,
        "PERFORM ledger.book(budgets, holds, 0);",
        "NULL;",
    ),
    Mutation(
        "sweep frees one hold of many", RECOVERY, "sum(part.hold) AS hold", "max(part.hold) AS hold"
    ),
    Mutation(
        "reserved row becomes unknown",
        RECOVERY,
        "OR entry.state <> 'SENT' THEN",
        "OR entry.state NOT IN ('SENT', 'RESERVED') THEN",
    ),
    Mutation(
        "period never turns",
        SCOPES,
        "ON live.period_end IS NULL OR live.period_end > now()",
        "ON true",
    ),
    Mutation(
        "all workers share one balance",
        SCOPES,
        "SELECT d.id, d.budget_type, owner.key,",
        "SELECT d.id, d.budget_type, d.scope_key,",
    ),
    Mutation(
        "limit change waits for the next period",
        BUDGETS,
        "SET definition_id = effective.id, budget_amount = effective.budget_amount",
        "SET definition_id = effective.id, budget_amount = b.budget_amount",
    ),
    Mutation(
        "adjustment without its row",
        BUDGETS,
        "    INSERT INTO budget_adjustments (budget_id, amount, reason)\n"
        "    VALUES (p_budget, p_amount, p_reason);\n",
        "",
    ),
)
