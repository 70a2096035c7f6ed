from __future__ import annotations

import ast
import os
import random
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.completion import Usage
from models.money import USD_MAX, parse_usd
from models.pricing import TokenPrice, cost_usd, worst_case_usd

ROOT = Path(__file__).resolve().parents[3]
MONEY_MODULES = (
    "models/attempt.py",
    "models/budget.py",
    "models/completion.py",
    "models/ledger.py",
    "models/money.py",
    "models/pricing.py",
    "models/tables/columns.py",
    "models/tables/ledger.py",
    "tasks/adapters/ledger",
    "migrations",
)
# Seconds and statistics: what ranks models or spaces calls is never booked.
NOT_MONEY = {
    "130_limits.sql",
    "0006_rate_limits.sql",
    "0007_learning.sql",
    "0010_checked_answers.sql",
}
PRICES = st.decimals("0", "0.01", places=15)
COUNTS = st.integers(0, 10**7)
BILLS = int(os.environ.get("SWITCHYARD_MONEY_BILLS", "100000"))


def money_files() -> list[Path]:
    found: list[Path] = []
    for name in MONEY_MODULES:
        path = ROOT / name
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        found += [file for file in files if file.suffix in (".py", ".sql")]
    found = [file for file in found if file.name not in NOT_MONEY]
    assert len(found) > 20
    return found


def test_money_modules_know_no_floating_point() -> None:
    for path in money_files():
        text = path.read_text(encoding="utf-8")
        for word in ("float(", "Float", "double precision", "float8"):
            assert word not in text, f"{path.name} says {word!r}"


def test_money_is_annotated_as_decimal_everywhere() -> None:
    for path in money_files():
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_named = isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            name = node.target.id if is_named else getattr(node, "arg", "")
            annotation = getattr(node, "annotation", None)
            if isinstance(name, str) and name.endswith("_usd") and annotation is not None:
                assert "float" not in ast.unparse(annotation), f"{path.name}: {name}"


@given(PRICES, PRICES, COUNTS, COUNTS, st.integers(0, 100))
def test_bill_never_exceeds_its_hold(
    prompt_usd: Decimal, completion_usd: Decimal, prompt: int, completion: int, share: int
) -> None:
    price = TokenPrice(prompt_usd=prompt_usd, completion_usd=completion_usd)
    usage = Usage(prompt_tokens=prompt * share // 100, completion_tokens=completion)
    hold_usd = worst_case_usd(price, prompt_tokens=prompt, completion_tokens=completion)
    bill_usd = cost_usd(price, usage)
    assert type(hold_usd) is type(bill_usd) is Decimal
    assert bill_usd <= hold_usd
    assert bill_usd.as_tuple().exponent == -12


@given(st.decimals("0", USD_MAX, places=12))
def test_parsed_money_is_exact(amount: Decimal) -> None:
    assert parse_usd(str(amount)) == amount


@pytest.mark.parametrize("value", [0.1, True, None, "NaN", "-1", "1e400", "ten", b"1"])
def test_parsed_money_refuses_what_is_no_amount(value: object) -> None:
    with pytest.raises(ValueError, match=r"amount|decimal"):
        parse_usd(value)


def test_sum_of_random_bills_is_the_balance_to_the_last_digit(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")  # 1e5 commits, and nothing to lose
        connection.execute(
            "INSERT INTO cost_budgets (budget_type, budget_period, budget_amount, period_start)"
            " VALUES ('global', 'once', 5, 'epoch')"
        )
        connection.execute("CREATE TABLE bills (cost numeric)")
        dice = random.Random(1)
        with connection.cursor().copy("COPY bills FROM STDIN") as copy:
            for _ in range(BILLS):
                copy.write_row((Decimal(dice.randrange(1, 10**9)).scaleb(-12),))
        connection.execute(
            "DO $$ DECLARE bill record; BEGIN FOR bill IN SELECT cost FROM bills LOOP"
            " PERFORM ledger.book(array_agg(id), ARRAY[0::numeric], bill.cost) FROM cost_budgets;"
            " COMMIT; END LOOP; END $$"
        )
        row = connection.execute(
            "SELECT (SELECT spent_amount FROM cost_budgets) - (SELECT sum(cost) FROM bills)"
        ).fetchone()
    assert row == (0,)
