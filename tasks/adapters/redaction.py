"""Keeps secrets out of texts and logs, by value and not by pattern."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

MASK = "[secret]"
RUN_CHARS = 10  # a run this long of a secret gives it away, even when the rest is cut off
SECRET_CHARS_MIN = 4  # a shorter value is masked nowhere: it would shred every text


class Redactor:
    """Masks secrets in texts: whole, in part, base64-encoded at any offset, and URL-encoded."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        self._short = sorted((form for form in forms if len(form) < RUN_CHARS), key=len)
        self._runs = frozenset(
            form[start : start + RUN_CHARS]
            for form in forms
            for start in range(len(form) - RUN_CHARS + 1)
        )

    def __repr__(self) -> str:
        return "Redactor()"  # never the secrets

    def __call__(self, text: str) -> str:
        """Return the text with every secret, and every run of ten of its characters, masked."""
        for form in self._short:
            text = text.replace(form, MASK)
        return self._without_runs(text) if self._runs else text

    def _without_runs(self, text: str) -> str:
        pieces: list[str] = []
        kept_from, masked_to = 0, 0
        for start in range(len(text) - RUN_CHARS + 1):
            if text[start : start + RUN_CHARS] not in self._runs:
                continue
            if start > masked_to or not masked_to:
                pieces += [text[kept_from:start], MASK]
            kept_from = masked_to = start + RUN_CHARS
        return "".join([*pieces, text[kept_from:]])


def _forms(secret: str) -> set[str]:
    if len(secret) < SECRET_CHARS_MIN:
        return set()
    raw = secret.encode()
    forms = {secret, quote(secret, safe=""), raw.hex()}
    for offset in range(3):  # base64 reads three bytes at a time, so what stands before matters
        encoded = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        inner = encoded[offset + 1 if offset else 0 : -1]  # the edges mix with the neighbours
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= SECRET_CHARS_MIN}


class RedactingFilter(logging.Filter):
    """Masks secrets in whatever a handler is about to write. Add it to handlers, not loggers.

    A logger's filter is not asked about records of its children, a handler's is.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._redact = Redactor(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite message, traceback and extra fields of the record; it is always kept."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # wrong arguments for the format: logging reports it
            return True
        if (masked := self._redact(message)) != message:
            record.msg, record.args = masked, ()
        if record.exc_info:
            self._mask_traceback(record)
        for name, value in record.__dict__.items():
            if isinstance(value, str) and name not in ("msg", "name"):
                record.__dict__[name] = self._redact(value)
        return True

    def _mask_traceback(self, record: logging.LogRecord) -> None:
        """Let handlers see only text: rich ones would print the exception's local variables."""
        text = logging.Formatter().formatException(record.exc_info)  # type: ignore[arg-type]
        if (masked := self._redact(text)) != text:
            record.exc_text, record.exc_info = masked, None


class RedactedRecords:
    """Makes log records without secrets in them, for every handler there is or will be.

    What a caller passes as `extra` is added to a record afterwards: only a handler's
    RedactingFilter sees that.
    """

    def __init__(self, make: Callable[..., logging.LogRecord], secrets: frozenset[str]) -> None:
        self._make, self.secrets = make, secrets
        self._filter = RedactingFilter(secrets)

    def __repr__(self) -> str:
        return "RedactedRecords()"  # never the secrets

    def __call__(self, *args: Any, **fields: Any) -> logging.LogRecord:  # Any: as logging has it
        """Return the record, masked."""
        record = self._make(*args, **fields)
        self._filter.filter(record)
        return record

    def knowing(self, secrets: Iterable[str]) -> RedactedRecords:
        """Return one that masks these secrets as well."""
        return RedactedRecords(self._make, self.secrets | frozenset(secrets))


def keep_out_of_logs(secrets: Iterable[str]) -> None:
    """Mask the secrets, from now on, in every log record of this process."""
    wanted, current = frozenset(secrets), logging.getLogRecordFactory()
    if not isinstance(current, RedactedRecords):
        current = RedactedRecords(current, frozenset())
    if not wanted <= current.secrets:
        logging.setLogRecordFactory(current.knowing(wanted))


def quiet_http_logging() -> None:
    """Keep the HTTP libraries at WARNING: below it they write URLs, headers and timings."""
    for name in ("httpx", "httpcore", "hpack", "h11", "h2", "aiohttp"):
        logging.getLogger(name).setLevel(logging.WARNING)
