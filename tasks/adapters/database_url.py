"""The forms a database URL comes in, and the one that may be shown."""

from __future__ import annotations

import re

from models.errors import InvalidConfiguration

_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")
_SECRETS = (
    (re.compile(r"(://[^:/@?#]*):[^@]*@"), r"\1:***@"),
    (re.compile(r"((?:^|[?&\s])(?:ssl)?password=)[^&\s]*", re.IGNORECASE), r"\1***"),
)


def libpq_url(url: str) -> str:
    """Return the URL as libpq wants it; takes postgres://, postgresql:// and +driver forms.

    Raises InvalidConfiguration for anything else, without repeating it: it may hold a password.
    """
    bare, found = _SCHEME.subn("postgresql://", url.strip())
    if not found:
        raise InvalidConfiguration("DATABASE_URL must start with postgresql://")
    return bare


def sqlalchemy_url(url: str) -> str:
    """Return the URL as SQLAlchemy wants it, with psycopg as its driver."""
    return libpq_url(url).replace("postgresql://", "postgresql+psycopg://", 1)


def redacted(text: str) -> str:
    """Return the text without the passwords of URLs and connection strings in it.

    >>> redacted("postgresql://me:secret@host/db?sslpassword=x")
    'postgresql://me:***@host/db?sslpassword=***'
    """
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
