"""No secret in a text or a log: whole, in part, encoded, in tracebacks and in extra fields."""

from __future__ import annotations

import base64
import io
import logging
from urllib.parse import quote

import pytest

from tasks.adapters.redaction import RedactingFilter, Redactor

KEY = "sk-or-v1-CANARY/0123456789+abcdef0123456789abcdef"
FORMS = {
    "whole": KEY,
    "first twelve characters": KEY[:12],
    "last twelve characters": KEY[-12:],
    "the middle": KEY[15:30],
    "URL-encoded": quote(KEY, safe=""),
    "hexadecimal": KEY.encode().hex(),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 after one byte": base64.b64encode(b"a" + KEY.encode()).decode(),
    "base64 of the header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(f"u:{KEY}:p".encode()).decode(),
}


def leaks(text: str, form: str, run: int = 10) -> bool:
    return any(form[at : at + run] in text for at in range(2, len(form) - run - 2))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_text_is_free_of_the_secret_in_every_form(form):
    text = Redactor([KEY])(f"before {form} after")
    assert text.startswith("before ") and text.endswith(" after")
    assert not leaks(text, form)


@pytest.mark.parametrize("text", ["", "short", "sk-or-v1 keys start like this", "a" * 500])
def test_text_without_a_secret_is_not_touched(text):
    assert Redactor([KEY])(text) == text
    assert Redactor([])(text) == text


def test_short_secrets_are_masked_whole_and_tiny_ones_not_at_all():
    assert Redactor(["hunter2"])("password hunter2!") == "password [secret]!"
    assert Redactor(["abc"])("abc abcd") == "abc abcd"


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(message)s %(note)s", defaults={"note": ""}))
    handler.addFilter(RedactingFilter([KEY]))
    logger = logging.Logger("switchyard.test", logging.DEBUG)
    logger.addHandler(handler)
    return logger, out


def test_log_is_free_of_the_secret_in_message_arguments_and_fields(log):
    logger, out = log
    logger.info("key %s", KEY)
    logger.info("key %(key)s", {"key": KEY})
    logger.info(f"key {KEY}", extra={"note": KEY})
    logger.info("nothing to hide: %d", 7)
    assert "CANARY" not in out.getvalue()
    assert out.getvalue().count("[secret]") == 4
    assert "nothing to hide: 7" in out.getvalue()


def test_log_is_free_of_the_secret_in_tracebacks(log):
    logger, out = log
    try:
        raise RuntimeError(f"refused {KEY}")
    except RuntimeError:
        logger.exception("it failed")
    assert "CANARY" not in out.getvalue()
    assert "RuntimeError: refused [secret]" in out.getvalue()


def test_log_of_a_broken_format_is_left_to_logging(log, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger, _ = log
    logger.info("%d", "x")
