"""Finds the proxy that the environment names for an upstream."""

from __future__ import annotations

import urllib.request

import httpx

from models.errors import InvalidConfiguration


def proxy_of_environment(host: str) -> httpx.Proxy | None:
    """Return the proxy for https to `host`, from HTTPS_PROXY, ALL_PROXY and NO_PROXY.

    Raises InvalidConfiguration, without the URL, which may hold a password, when it is no HTTP
    proxy's.
    """
    named = urllib.request.getproxies()
    url = named.get("https") or named.get("all")
    if not url or urllib.request.proxy_bypass(host):
        return None
    try:
        proxy = httpx.Proxy(url if "://" in url else f"http://{url}")
    except (httpx.InvalidURL, ValueError):
        proxy = None
    if proxy is None or proxy.url.scheme not in ("http", "https") or not proxy.url.host:
        raise InvalidConfiguration("HTTPS_PROXY or ALL_PROXY is not the URL of an HTTP proxy")
    return proxy
