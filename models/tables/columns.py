"""The kinds of column that the rows are made of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, Integer, Numeric, String, text
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

USD = Numeric(20, 12)
PRICE_USD = Numeric(20, 15)  # per token; fifteen decimals hold 1e-15 USD exactly
RATIO = Numeric(5, 4)
INSTANT = DateTime(timezone=True)
NOW = text("now()")


def key(**options: Any) -> Any:  # Any: Field() is typed as what the attribute holds
    """Return a random uuid primary key."""
    return Field(
        sa_column=Column(
            UuidType(), primary_key=True, server_default=text("gen_random_uuid()"), **options
        )
    )


def usd(*, default: str | None = None, nullable: bool = False) -> Any:  # Any: as key
    """Return an amount of money."""
    server_default = None if default is None else text(default)
    return Field(
        default=None, sa_column=Column(USD, nullable=nullable, server_default=server_default)
    )


def price() -> Any:  # Any: as key
    """Return a price per token, null while unknown."""
    return Field(default=None, sa_column=Column(PRICE_USD))


def short_text(
    length: int, *, default: str | None = None, nullable: bool = True
) -> Any:  # Any: as key
    """Return a text of limited length."""
    server_default = None if default is None else text(f"'{default}'")
    column = Column(String(length), nullable=nullable, server_default=server_default)
    return Field(default=None, sa_column=column)


def instant(*, default: Any = None, nullable: bool = True) -> Any:  # Any: as key
    """Return a point in time."""
    return Field(default=None, sa_column=Column(INSTANT, nullable=nullable, server_default=default))


def document(*, nullable: bool = True, default: str | None = None) -> Any:  # Any: as key
    """Return a JSON document."""
    server_default = None if default is None else text(default)
    column = Column(JSONB, nullable=nullable, server_default=server_default)
    return Field(default=None, sa_column=column)


def whole(default: str) -> Any:  # Any: as key
    """Return a count or number that is never null."""
    return Field(
        default=None, sa_column=Column(Integer, nullable=False, server_default=text(default))
    )


def flag(default: str) -> Any:  # Any: as key
    """Return a yes or no that is never null."""
    return Field(default=None, nullable=False, sa_column_kwargs={"server_default": text(default)})


def ratio() -> Any:  # Any: as key
    """Return a share between 0 and 1, by default 0.80."""
    return Field(default=None, sa_column=Column(RATIO, nullable=False, server_default=text("0.80")))
