"""M4, a crawler of code: analysis by policy code, the report by policy normal.

    python examples/code_crawler.py [FOLDER]

The analyses are subflows, `route-request`, each with a page of its own in the Prefect UI.
"""

from __future__ import annotations

import sys
from pathlib import Path

from prefect import flow
from stage import perform, told

from flows.route_request import route_request
from models.errors import PrefectFailed
from models.request import RoutingRequest
from models.result import RoutingResult

FILES_MAX = 3
CHARS_MAX = 4000
HERE = Path(__file__).resolve().parent


async def routed(request: RoutingRequest) -> RoutingResult:
    """Route as a subflow; a failed request is a result too."""
    state = await route_request(request=request, return_state=True)
    result = await state.aresult(raise_on_failure=False)
    if not isinstance(result, RoutingResult):
        raise PrefectFailed(f"the subflow ended {state.name} without a result")
    return result


def sources(folder: Path) -> dict[str, str]:
    """Return the beginnings of the folder's first files."""
    paths = sorted(folder.glob("*.py"))[:FILES_MAX]
    return {path.name: path.read_text(encoding="utf-8")[:CHARS_MAX] for path in paths}


async def analyse(name: str, source: str) -> RoutingResult:
    """Have one file reviewed."""
    prompt = f"Review {name}. Name the riskiest line and why.\n\n{source}"
    return await routed(
        RoutingRequest(
            prompt=prompt, task_type="code_review", worker_id="code-crawler", max_tokens=600
        )
    )


async def report(findings: dict[str, str]) -> RoutingResult:
    """Have the findings turned into a report, by a cheaper policy than found them."""
    listed = "\n".join(f"- {name}: {finding}" for name, finding in findings.items())
    prompt = f"Write a short report for the team from these findings:\n{listed}"
    return await routed(
        RoutingRequest(prompt=prompt, task_type="report", worker_id="code-crawler", max_tokens=600)
    )


@flow(name="crawl-code")
async def crawl_code(folder: str) -> list[RoutingResult]:
    """Review the first files of a folder and report."""
    files = sources(Path(folder))
    analyses = {name: await analyse(name, source) for name, source in files.items()}
    findings = {name: result.content or "no answer" for name, result in analyses.items()}
    return [*analyses.values(), await report(findings)]


async def play(folder: Path = HERE) -> list[RoutingResult]:
    """Crawl a folder and print what each decision was."""
    results = await crawl_code(str(folder))
    for result in results:
        print(f"{result.task_type:12} {told(result)}")
    return results


if __name__ == "__main__":
    given = Path(sys.argv[1]) if sys.argv[1:] else HERE
    perform(lambda: play(given))
