"""Bad input: exit 2, one clear line on stderr, nothing on stdout, nothing started or sent."""

from __future__ import annotations

import psycopg
import pytest

from tests.cli.conftest import chat_requests

LEDGER = ("--trace", "ledger")
BEFORE_ANYTHING_STARTS = [
    (["route", ""], {}, "the prompt is empty"),
    (["route", "  \n"], {}, "the prompt is empty"),
    (["route", "x", "--max-cost", "-1"], {}, "max_cost_usd"),
    (["route", "x", "--max-cost", "NaN", "--json"], {}, "max_cost_usd"),
    (["route", "x", "--max-cost", "cheap"], {}, "max_cost_usd"),
    (["route", "x", "--max-tokens", "0"], {}, "max_tokens"),
    (["route", "x", "--max-tokens", "many"], {}, "--max-tokens"),
    (["route", "x", "--approval-above", "-0.01"], {}, "approval_above_usd"),
    (["route", "x", "--on-exhausted", "pray"], {}, "--on-exhausted"),
    (["route"], {}, "PROMPT"),
    (["route", "x", "y"], {}, "unexpected extra argument"),
    (["nonsense"], {}, "No such command"),
    (["costs", "--since", "yesterday"], {}, "neither a span like 7d nor a date"),
    (["costs", "--since", "99999999999999d"], {}, "neither a span like 7d nor a date"),
    (["budgets", "set", "planet", "daily", "1"], {}, "budget_type"),
    (["budgets", "set", "global", "daily", "--", "-1"], {}, "budget_amount"),
    (["budgets", "set", "global", "daily", "NaN"], {}, "budget_amount"),
    (["budgets", "set", "global", "daily", "1", "--tz", "Mars/Olympus"], {}, "time zone"),
    (["explain", "not-an-id"], {}, "not a valid UUID"),
    (["replay"], {}, "DECISION_ID"),
    (["route", "x"], {"OPENROUTER_BASE_URL": "ftp://x"}, "OPENROUTER_BASE_URL"),
    (["route", "x"], {"OPENROUTER_BASE_URL": "https://"}, "OPENROUTER_BASE_URL"),
    (
        ["route", "x"],
        {"OPENROUTER_BASE_URL": "http://upstream.test/v1", "OPENROUTER_API_KEY": "sk-canary-1234"},
        "needs https",
    ),
    (["route", "x"], {"OPENROUTER_API_KEY": "sk with blanks"}, "the API key"),
    (["route", "x"], {"PREFECT_API_URL": "nowhere"}, "PREFECT_API_URL"),
    (["route", "x"], {"DATABASE_URL": "mysql://u:secretpw@h/d"}, "DATABASE_URL"),
    (["route", "x"], {"SWITCHYARD_REQUEST_TIMEOUT_S": "soon"}, "SWITCHYARD_REQUEST_TIMEOUT_S"),
]


@pytest.mark.parametrize(("arguments", "environment", "words"), BEFORE_ANYTHING_STARTS)
def test_bad_input_is_one_line_before_anything_is_started(
    run, tmp_path, arguments, environment, words
):
    done = run(*arguments, **environment)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("switchyard: ")
    assert "secretpw" not in done.err
    assert "sk-canary" not in done.err
    assert not (tmp_path / "home").exists()


BROKEN_FILES = [
    (b"{not json", "policy refused"),
    (b"\xff\xfe\x00", "not UTF-8"),
    (b'{"name": "x", "modells": []}', "modells"),
    (b"[]", "holds no policy"),
]


@pytest.mark.parametrize(("content", "words"), BROKEN_FILES)
def test_broken_policy_file_is_refused_whole_in_one_line(run, tmp_path, content, words):
    file = tmp_path / "policy.json"
    file.write_bytes(content)
    done = run("policies", "apply", str(file))
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert words in done.err


def test_file_that_is_not_there_is_one_line(run):
    done = run("policies", "apply", "/nowhere/policy.json")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["route", "x", "--policy", "nope", *LEDGER], "there is no policy 'nope'"),
        (["policies", "show", "nope"], "there is no policy 'nope'"),
        (["policies", "deactivate", "nope"], "there is no policy 'nope'"),
        (["explain", "00000000-0000-0000-0000-000000000000"], "there is no decision"),
    ],
)
def test_unknown_name_is_one_line_and_nothing_is_sent_or_recorded(
    ready, routing_url, simulator, arguments, words
):
    done = ready(*arguments)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert words in done.err
    assert chat_requests(simulator) == 0
    assert decisions_in(routing_url) == 0


def decisions_in(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM routing_decisions").fetchone()
    return -1 if row is None else row[0]
