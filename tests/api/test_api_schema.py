"""schemathesis: the API does what its OpenAPI document says, whatever it is sent."""

from __future__ import annotations

import os

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.api.conftest import RunningApi

EXAMPLES = int(os.environ.get("SWITCHYARD_SCHEMA_EXAMPLES", "15"))
OPERATIONS = (
    ("GET", "/api/routing/policies"),
    ("GET", "/api/routing/costs"),
    ("GET", "/api/routing/performance"),
    ("GET", "/api/routing/report"),
    ("POST", "/api/routing/select"),
    ("POST", "/api/routing/tasks"),
    ("GET", "/api/routing/tasks/{decision_id}"),
    ("GET", "/api/routing/decisions"),
    ("GET", "/api/routing/decisions/{decision_id}"),
    ("POST", "/api/routing/feedback"),
    ("GET", "/api/routing/budgets"),
    ("GET", "/api/routing/cache"),
    ("DELETE", "/api/routing/cache"),
    ("GET", "/api/routing/limits"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    # last: the budgets and policies that these make refuse requests that the schema allows
    ("POST", "/api/routing/backtest"),
    ("GET", "/api/routing/canaries"),
    ("POST", "/api/routing/canaries/{name}"),
    ("POST", "/api/routing/policies"),
    ("PUT", "/api/routing/budgets"),
    ("PUT", "/api/routing/limits"),
)

# No schema can say that models and priorities are distinct and a provider is that of its model.
EXCLUDED = {
    ("POST", "/api/routing/policies"): [positive_data_acceptance],
    ("POST", "/api/routing/backtest"): [positive_data_acceptance],
}


@pytest.fixture(scope="module")
def schema(shared_api: RunningApi) -> schemathesis.BaseSchema:
    loaded = schemathesis.openapi.from_url(f"{shared_api.url}/openapi.json")
    return loaded


def test_every_operation_is_checked(shared_api: RunningApi) -> None:
    with shared_api.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert found == set(OPERATIONS)


# schemathesis draws through `random` inside its own strategies, and hypothesis complains of it
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_operation_keeps_its_contract(
    schema: schemathesis.BaseSchema, method: str, path: str
) -> None:
    operation = schema[path][method]
    strategy = operation.as_strategy()

    @hypothesis.given(case=strategy)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=EXCLUDED.get((method, path), []))

    check()


def test_prices_are_there(shared_api: RunningApi) -> None:
    assert httpx.get(f"{shared_api.url}/readyz", trust_env=False).json()["ready"]
