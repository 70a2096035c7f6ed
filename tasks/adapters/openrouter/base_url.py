"""The upstream's address: checked once, before any key could travel to it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import httpx

from models.errors import InvalidConfiguration

HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,250}[a-z0-9_])?\.?")
# These refuse unknown request fields, so OpenRouter's own must not be sent to them.
STRICT_HOSTS = ("api.openai.com", "openai.azure.com", "api.groq.com", "api.mistral.ai")


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A checked base URL without a trailing slash; `plain` means http without TLS."""

    text: str
    host: str
    plain: bool

    def at(self, path: str) -> str:
        """Return the URL of a path below the base; the key goes nowhere else."""
        return self.text + path

    @property
    def takes_openrouter_fields(self) -> bool:
        """Whether `provider` and `metadata` may be sent; false for known strict vendors."""
        return not any(self.host == host or self.host.endswith("." + host) for host in STRICT_HOSTS)


def checked_base_url(text: str, *, has_key: bool) -> BaseUrl:
    """Return the base URL, or raise InvalidConfiguration saying what is wrong with it.

    With a key, plain http is accepted to the loopback only: elsewhere anyone on the way could
    read the key.
    """
    try:
        url = httpx.URL(text.strip())
        port = url.port
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidConfiguration(f"base URL is not a URL: {error}") from error
    host = url.raw_host.decode("ascii")  # an international name in its ASCII form
    problem = _problem(url, port) or _host_problem(host)
    if problem is None and has_key and url.scheme == "http" and not _is_loopback(host):
        problem = "needs https: over plain http the API key may go to the loopback only"
    if problem is not None:
        raise InvalidConfiguration(f"base URL {_shown(url)!r} {problem}")
    return BaseUrl(str(url).rstrip("/"), host, plain=url.scheme == "http")


def checked_key(api_key: str | None) -> str | None:
    """Return the key, or raise InvalidConfiguration when it cannot be a header value."""
    if api_key is None or not api_key.strip():
        return None
    key = api_key.strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InvalidConfiguration("the API key holds characters that no key has")
    return key


def _shown(url: httpx.URL) -> str:
    """Name the URL without user, password and query, which may be secrets."""
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}{url.path}"


def _problem(url: httpx.URL, port: int | None) -> str | None:
    if url.scheme not in ("http", "https"):
        return "must start with http:// or https://"
    if not url.host:
        return "names no host"
    if url.userinfo:
        return "must not hold a user or password"
    if url.query or url.fragment:
        return "must not hold a query or fragment"
    if port is not None and not 0 < port < 65_536:
        return "has no usable port"
    return None


def _host_problem(host: str) -> str | None:
    address = _address(host)
    if address is None and not HOST_NAME.fullmatch(host):
        return "names no usable host"
    if address is None:
        # "2130706433" and "0x7f.1" are read as addresses by some resolvers (WHATWG URL, hosts)
        last = host.rstrip(".").rpartition(".")[2]
        return "has a number for a host" if last[:1].isdigit() else None
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast:
        return "points to an address that no upstream has"
    return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
