"""A worker process for the tests; the tests' own flows count as safe to run again."""

from __future__ import annotations

import sys

from deployments.worker.start import run_worker
from deployments.worker.worker import SwitchyardWorker

if __name__ == "__main__":
    SwitchyardWorker.resumable_packages = ("warm_flows",)
    pool, limit, drain_s = sys.argv[1:]
    run_worker(pool=pool, limit=int(limit), drain_s=float(drain_s))
