"""Rows of the ledger's functions as the values that the rules know."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int4

from models.attempt import AttemptRow, AttemptState, Blocking
from models.budget import BudgetState, PastPeriod, budget_name
from models.ledger import AuditDifference, AuditReport
from models.money import plain

ERROR_CHARS_MAX = 2000
COUNT_MAX = 2**31 - 1
ATTEMPT_COLUMNS = tuple(field.name for field in fields(AttemptRow))


def attempt_row(row: DictRow) -> AttemptRow:
    """Return the attempt; the query names its columns as AttemptRow does."""
    return AttemptRow(**{**row, "state": AttemptState(row["state"])})


def blocking_budgets(documents: list[dict[str, Any]]) -> tuple[Blocking, ...]:
    """Return the budgets that refused a hold, from the function's JSON."""
    return tuple(
        Blocking(
            budget=document["budget"],
            amount_usd=Decimal(document["amount_usd"]),
            remaining_usd=Decimal(document["remaining_usd"]),
            period_end=_instant(document["period_end"]),
        )
        for document in documents
    )


def budget_state(row: DictRow) -> BudgetState:
    """Return one budget with its balance."""
    return BudgetState.model_validate(row)


def past_period(row: DictRow) -> PastPeriod:
    """Return one period that has ended."""
    return PastPeriod(
        budget=budget_name(row["budget_type"], row["scope_key"], row["budget_period"]),
        amount_usd=row["budget_amount"],
        spent_usd=row["spent_amount"],
        held_usd=row["reserved_amount"],
        period_start=row["period_start"],
        period_end=row["period_end"],
        final=row["final"],
    )


def audit_report(row: DictRow) -> AuditReport:
    """Return the audit with its differences."""
    differences = tuple(_difference(document) for document in row["differences"] or ())
    return AuditReport(**{**row, "differences": differences})


def count(number: int | None) -> Int4 | None:
    """Return a count that fits its column: an absurd one must not stop a bill from being booked."""
    return None if number is None else Int4(min(max(number, 0), COUNT_MAX))


def short(text: str | None, chars_max: int = ERROR_CHARS_MAX) -> str | None:
    """Return the text shortened, without what PostgreSQL cannot store."""
    return None if text is None else _storable(text[:chars_max])


def json_document(document: dict[str, Any] | None) -> Jsonb | None:
    """Return the document for a jsonb column, whatever an upstream put into it.

    NUL and lone surrogates become U+FFFD, NaN and infinities null: an answer must not stop its
    bill from being booked.
    """
    return None if document is None else Jsonb(document, dumps=json_text)


def json_rows(rows: list[dict[str, Any]]) -> Jsonb:
    """Return many documents as one jsonb array, made storable in the same way."""
    return Jsonb(rows, dumps=json_text)


def json_text(document: Any) -> bytes:  # Any: JSON
    """Return a document as JSON text that a jsonb column takes."""
    try:
        text = orjson.dumps(document, default=_decimal_text)
    except TypeError:  # lone surrogates
        return _dumps(_storable(document)).encode()
    return _dumps(_storable(document)).encode() if b"\\u0000" in text else text


def _dumps(document: Any) -> str:  # Any: JSON
    return json.dumps(document, ensure_ascii=False, default=_decimal_text)


def _decimal_text(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def _storable(value: Any) -> Any:  # Any: JSON
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_storable(str(name)): _storable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(part) for part in value]
    return value


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _usd(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _difference(document: dict[str, Any]) -> AuditDifference:
    return AuditDifference(
        budget_id=UUID(document["budget_id"]),
        budget=document["budget"],
        period_start=_instant(document["period_start"]),
        stated_spent_usd=_usd(document["stated_spent_usd"]),
        true_spent_usd=Decimal(document["true_spent_usd"]),
        stated_held_usd=_usd(document["stated_reserved_usd"]),
        true_held_usd=Decimal(document["true_reserved_usd"]),
    )
