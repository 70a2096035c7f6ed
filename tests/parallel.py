"""Who runs what when `pytest -n` runs the tests in several processes."""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

# Tests that share a Prefect server of the session: it takes 15 s to start, so one process has them.
TOGETHER = ("tests/deployments/worker/", "tests/flows/")
# What takes minutes is begun first, or the last process works alone at the end.
LONGEST_FIRST = (
    "tests/deployments/worker/",
    "tests/deployments/test_scale_out.py",
    "tests/flows/",
    "tests/test_demo.py",
    "tests/deployments/test_up_system.py",
    "tests/cli/",
    "tests/deployments/",
    "tests/api/",
)


class ByFile(LoadScopeScheduling):
    """Give a file whole to one process, for its fixtures; some folders too."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def longest_first(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        places = enumerate(LONGEST_FIRST)
        return next((at for at, begin in places if item.nodeid.startswith(begin)), 99)

    items.sort(key=rank)
