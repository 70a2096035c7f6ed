"""M2, self-healing: cheap health checks often (policy ops), dear repairs seldom (policy code).

    python examples/self_heal.py

The decisions are tasks of this flow's own run: see it in the Prefect UI.
"""

from __future__ import annotations

from prefect import flow
from stage import perform, told

from flows.route_within import route_within
from models.request import RoutingRequest
from models.result import RoutingResult

SERVICES = {
    "payments": "p95 120 ms, error rate 0.1 %, restarts 0",
    "search": "p95 9,800 ms, error rate 31 %, restarts 4, last error: PoolTimeout in db.acquire()",
    "mail": "p95 80 ms, error rate 0 %, restarts 0",
}
ERROR_RATE_MAX = 5.0


def error_rate(vitals: str) -> float:
    """Return the error rate in percent; figures are for code to judge, not for a model."""
    return float(vitals.split("error rate ")[1].split(" %")[0])


async def check(service: str, vitals: str) -> RoutingResult:
    """Have the vitals put into words by the cheapest model that can."""
    request = RoutingRequest(
        prompt=f"Put the health of service {service} into one line: {vitals}",
        task_type="health_check",
        worker_id="self-heal",
    )
    return await route_within(request, step=f"check {service}")


async def repair(service: str, vitals: str) -> RoutingResult:
    """Have a repair written, at most for five cents."""
    request = RoutingRequest(
        prompt=f"Service {service} fails: {vitals}. Write the fix as a diff.",
        task_type="fix_bug",
        worker_id="self-heal",
        max_cost_usd="0.05",
    )
    return await route_within(request, step=f"repair {service}")


@flow(name="self-heal")
async def self_heal(services: dict[str, str]) -> dict[str, list[RoutingResult]]:
    """Check every service and repair those that are ill."""
    done: dict[str, list[RoutingResult]] = {}
    for service, vitals in services.items():
        done[service] = [await check(service, vitals)]
        if error_rate(vitals) > ERROR_RATE_MAX:
            done[service].append(await repair(service, vitals))
    return done


async def play() -> dict[str, list[RoutingResult]]:
    """Heal the sample services and say what each decision was."""
    done = await self_heal(SERVICES)
    for service, results in done.items():
        for result in results:
            print(f"{service:9} {result.task_type:13} {told(result)}")
    return done


if __name__ == "__main__":
    perform(play)
