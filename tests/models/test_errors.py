from __future__ import annotations

import inspect
import pickle
from decimal import Decimal

import pytest

from models import errors
from models.errors import SwitchyardError

ARGUMENTS = {
    "InvalidPolicy": (("$.name: is missing",),),
    "IdempotencyConflict": ("key",),
    "BudgetExceeded": (Decimal("0.2"), Decimal("0.1"), ("global daily",)),
    "NoCandidate": (("a/b: no price",),),
    "AllAttemptsFailed": (("a/b: busy",),),
}
TREE = sorted(
    {
        found
        for _, found in inspect.getmembers(errors, inspect.isclass)
        if issubclass(found, SwitchyardError)
    },
    key=lambda found: found.__name__,
)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling_with_its_words(kind):
    """Prefect reads the error of a failed run back by unpickling it."""
    error = kind(*ARGUMENTS.get(kind.__name__, ("it went wrong",)))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) != ""
    assert {key: value for key, value in vars(again).items() if value != vars(error)[key]} == {}
    assert kind.exit_code in (1, 2, 3, 4)
