"""Stop the embedded PostgreSQL of a home if nobody uses it: `python -m ... HOME`."""

from __future__ import annotations

import sys
from pathlib import Path

from deployments.postgres.layout import prepare_layout
from deployments.postgres.lifecycle import stop
from deployments.postgres.locks import exclusive, opened, taken_alone


def main() -> None:
    """Run after everybody of a killed `up` is gone."""
    layout = prepare_layout(Path(sys.argv[1]))
    with opened(layout.users_lock) as users_fd, exclusive(layout.start_lock):
        if taken_alone(users_fd):
            stop(layout)


if __name__ == "__main__":
    main()
