"""The spend page and its two files; they hold no data, the page asks the API for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from deployments.api.state import ReadCaller, State

FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    """Return the page."""
    return Response(_text("page.html"), headers=HEADERS, media_type="text/html")


@router.get("/page/page.css")
async def style() -> Response:
    """Return its style."""
    return Response(_text("page.css"), headers=HEADERS, media_type="text/css")


@router.get("/page/page.js")
async def script() -> Response:
    """Return its script."""
    return Response(_text("page.js"), headers=HEADERS, media_type="text/javascript")


@router.get("/page/facts")
async def facts(state: State, caller: ReadCaller) -> dict[str, object]:
    """Return what the page shows beside the API's documents."""
    settings = state.opened.settings
    api_url = settings.prefect_api_url
    return {
        "simulated": settings.simulated,
        "prefect_ui_url": None if api_url is None else api_url.rstrip("/").removesuffix("/api"),
    }


@cache
def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
