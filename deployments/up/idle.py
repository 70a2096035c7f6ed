"""Settings that make an idle system cheap; docs/operations.md has the figures."""

from __future__ import annotations

# Loops of the Prefect server, in seconds. Its defaults of 5 s serve fleets that rely on them; here
# the worker is told of every run by an event, and the ledger has its own clock.
SERVER_LOOPS = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "60",
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_TRIGGERS_PG_NOTIFY_HEARTBEAT_INTERVAL_SECONDS": "30",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT15S",
}
# Truth lives in the ledger; Prefect's events only show what happened lately.
SERVER_RETENTION = {"PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P3D"}
SERVER = SERVER_LOOPS | SERVER_RETENTION
