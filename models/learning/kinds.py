"""The kind of work that an outcome tells about: task type, complexity, and attempts before it."""

from __future__ import annotations

from typing import NamedTuple

ANY = "*"


class Kind(NamedTuple):
    """A cell of the tables; `failed_before` counts attempts whose answers failed their check.

    `Kind()` is everything, `Kind("fix_bug")` a task type, `Kind("fix_bug", "simple")` a cell.
    """

    task_type: str = ANY
    complexity: str = ANY
    failed_before: int = 0

    def levels(self) -> tuple[Kind, ...]:
        """Return the cells that an outcome counts in, widest first.

        Second and third attempts have no widest cell: which types get that far differs by model,
        so an average over types would say little.
        """
        parents = () if self.failed_before else (Kind(),)
        by_type = Kind(self.task_type, ANY, self.failed_before)
        if self.task_type == ANY:
            return (by_type,)
        return (*parents, by_type) if self.complexity == ANY else (*parents, by_type, self)

    def first(self) -> Kind:
        """Return the same kind of work before anything failed."""
        return self._replace(failed_before=0)
