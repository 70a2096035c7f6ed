"""Several API processes behind one port: `switchyard serve --processes N`.

The parent alone listens, and hands each connection to the process with the fewest open ones. With
a shared listening socket whoever wakes first takes all that wait; with SO_REUSEPORT chance shares
out, which for a dozen connections is uneven, a process that dies takes its queue along, and a
second server could listen beside this one. What waits in our queue is lost with no process.
"""

from __future__ import annotations

from deployments.fleet.fleet import run_fleet

__all__ = ["run_fleet"]
