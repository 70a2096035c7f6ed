"""Which base URLs and keys are accepted, before anything is sent."""

from __future__ import annotations

import pytest

from models.errors import InvalidConfiguration
from tasks.adapters.openrouter import open_client
from tasks.adapters.openrouter.base_url import checked_base_url, checked_key


@pytest.mark.parametrize(
    ("url", "at"),
    [
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/key"),
        ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1/key"),
        (" HTTPS://OpenRouter.ai/api/v1 ", "https://openrouter.ai/api/v1/key"),
        ("http://127.0.0.1:8123/api/v1", "http://127.0.0.1:8123/api/v1/key"),
        ("http://[::1]:8123", "http://[::1]:8123/key"),
        ("http://localhost:1", "http://localhost:1/key"),
        ("https://10.0.0.7/v1", "https://10.0.0.7/v1/key"),
    ],
)
def test_base_url_is_accepted(url, at):
    assert checked_base_url(url, has_key=True).at("/key") == at


@pytest.mark.parametrize(
    "url",
    [
        "",
        "openrouter.ai/api/v1",
        "ftp://openrouter.ai",
        "file:///etc/passwd",
        "https://",
        "https:///api",
        "https://host:99999/",
        "https://host:0/",
        "https://user:pass@openrouter.ai/api/v1",
        "https://openrouter.ai/api/v1?key=sk-or-v1-CANARY",
        "https://openrouter.ai/#x",
        "https://exa mple.com",
        "https://host\n.test",
        "http://169.254.169.254/latest",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0:80",
        "http://[::]:80",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://224.0.0.1/",
    ],
)
def test_base_url_is_refused_without_a_secret_in_the_message(url):
    for has_key in (True, False):
        with pytest.raises(InvalidConfiguration) as caught:
            checked_base_url(url, has_key=has_key)
        assert "CANARY" not in str(caught.value) and "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["openrouter.ai", "10.0.0.7", "localhost.evil.test", "[2001:db8::1]"]
)
def test_key_may_not_travel_over_plain_http_beyond_the_loopback(host):
    with pytest.raises(InvalidConfiguration, match="needs https"):
        checked_base_url(f"http://{host}/v1", has_key=True)
    assert checked_base_url(f"http://{host}/v1", has_key=False).plain


@pytest.mark.parametrize("key", ["sk or", "sk\r\nX-Evil: 1", "schlüssel", "a\x00b"])
def test_key_is_refused_when_it_is_no_header_value(key):
    with pytest.raises(InvalidConfiguration) as caught:
        checked_key(key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(("key", "kept"), [(None, None), ("", None), (" \n", None), (" k ", "k")])
def test_key_is_trimmed_and_may_be_absent(key, kept):
    assert checked_key(key) == kept


@pytest.mark.anyio
async def test_client_refuses_a_wrong_base_url_before_it_opens():
    with pytest.raises(InvalidConfiguration):
        async with open_client("not a url", None):
            raise AssertionError("never opened")


def test_openrouter_fields_go_everywhere_but_to_strict_vendors():
    for url, takes in [
        ("https://openrouter.ai/api/v1", True),
        ("http://127.0.0.1:9/v1", True),
        ("https://gateway.corp.test/v1", True),
        ("https://api.openai.com/v1", False),
        ("https://mine.openai.azure.com/v1", False),
        ("https://notapi.openai.com.test/v1", True),
    ]:
        assert checked_base_url(url, has_key=True).takes_openrouter_fields is takes
