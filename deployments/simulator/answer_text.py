"""Short, plausible texts that fit the task; good ones and, on demand, poor ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from deployments.simulator.draws import Draws
from deployments.simulator.task_kind import CHOICES, SUM, TaskKind

EXCERPT_WORDS = 12
NAMED_ERROR = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Timeout|Refused)\b")
NAMED_FUNCTION = re.compile(r"\bdef (\w+)|\b([a-z_]\w+)\(\)|function (?:called |named )?`?(\w+)`?")
LANGUAGE = re.compile(r"\b(python|javascript|typescript|rust|go|java|sql|bash)\b", re.I)
CAUSES = (
    "the connection pool is exhausted because a failed request never returns its connection",
    "a configuration value is read once at start and is stale after the last deployment",
    "two workers write the same row without a lock, so the later write wins",
    "the timeout of the caller is shorter than that of the service it calls",
)
CHECKS = (
    "reproduce it with two concurrent requests and watch the connection count",
    "compare the effective configuration of a failing and a healthy instance",
    "replay the failing request with tracing on and look for the second write",
    "run the slowest query of that minute with EXPLAIN ANALYZE",
)
VIEWS = (
    "the simpler option costs less to run and covers nine of ten cases",
    "the managed option wins on time to value, the self-hosted one on cost above medium load",
    "both meet the need; what differs is how they fail and how fast one notices",
)
FACTS = (
    (re.compile(r"capital of france", re.I), "The capital of France is Paris."),
    (re.compile(r"capital of germany", re.I), "The capital of Germany is Berlin."),
    (re.compile(r"capital of japan", re.I), "The capital of Japan is Tokyo."),
    (re.compile(r"\bhttp (status )?(code )?429", re.I), "HTTP 429 means too many requests."),
    (re.compile(r"\bhttp (status )?(code )?503", re.I), "HTTP 503: the service is unavailable."),
    (
        re.compile(r"postgres\w*.{0,20}port|port.{0,20}postgres", re.I),
        "PostgreSQL listens on 5432.",
    ),
    (re.compile(r"^\W*(hi|hello|hey)\b", re.I), "Hello! How can I help?"),
    (re.compile(r"\bping\b", re.I), "pong"),
)
POOR = (
    "I'm not sure.",
    "I cannot tell from this. Could you give more details?",
    "It depends.",
)


def excerpt(prompt: str) -> str:
    """Return the first words of the prompt on one line."""
    words = prompt[:400].split()
    short = " ".join(words[:EXCERPT_WORDS]).strip(" .:?!`")
    return short or "the request"


def function_name(prompt: str) -> str:
    """Return a function that the prompt names, else `solve`."""
    found = NAMED_FUNCTION.search(prompt[:4000])
    return next((name for name in found.groups() if name), "solve") if found else "solve"


def investigation(prompt: str, draws: Draws) -> str:
    """Write a root cause, its evidence and a fix."""
    found = NAMED_ERROR.search(prompt[:4000])
    return (
        f"**Root cause.** The {found.group() if found else 'failure'} appears because "
        f"{draws.pick('cause', CAUSES)}.\n\n"
        f'**Evidence.** In "{excerpt(prompt)}" the first failing line precedes the symptom, and '
        "nothing before it shows resource pressure on the host.\n\n"
        f"**Next steps**\n1. To confirm, {draws.pick('check', CHECKS)}.\n"
        "2. Release the resource in a `finally` block, and cap the number of retries.\n"
        "3. Alert on the rate of this error, not on single occurrences."
    )


def code(prompt: str, draws: Draws) -> str:
    """Write a code block and what changed."""
    found = LANGUAGE.search(prompt[:4000])
    language, name = (found.group(1).lower() if found else "python"), function_name(prompt)
    if language == "sql":
        body = (
            "SELECT id, created_at\nFROM events\nWHERE status = 'failed'\nORDER BY created_at DESC;"
        )
    elif language in ("javascript", "typescript"):
        body = (
            f"export function {name}(items) {{\n  if (!items?.length) return [];\n"
            "  return items.filter((item) => item != null);\n}"
        )
    else:
        language = "python"
        body = (
            f"def {name}(items):\n    if not items:\n        return []\n"
            "    return [item for item in items if item is not None]"
        )
    reason = draws.pick("reason", ("an empty input", "missing values", "a repeated call"))
    return (
        f"```{language}\n{body}\n```\n\n`{name}` now handles {reason} first, which was the case "
        "that failed; the result for all other inputs is unchanged. A test for it: call it with "
        "an empty list and with a list that holds one missing value."
    )


def summary(prompt: str, draws: Draws) -> str:
    """Write three sentences."""
    return (
        f'On "{excerpt(prompt)}" the main point is that {draws.pick("view", VIEWS)}. '
        "The cause is known and the change is small. "
        "What remains open is who owns the follow-up and by when."
    )


def status(prompt: str, draws: Draws) -> str:
    """Write a one-line status."""
    delay = 40 + int(draws.unit("delay") * 200)
    return f"OK ({excerpt(prompt)}). All checks pass, p95 latency {delay} ms, no open alerts."


def research(prompt: str, draws: Draws) -> str:
    """Write a comparison with a recommendation."""
    return (
        f"## {excerpt(prompt)}\n\n**Short answer.** On balance {draws.pick('view', VIEWS)}.\n\n"
        "**What speaks for it**\n- Fewer moving parts, so fewer ways to fail at night.\n"
        "- Costs grow with use rather than with peak capacity.\n\n"
        "**What speaks against it**\n- Limits are the vendor's and change without notice.\n"
        "- Migration back takes longer than the first adoption.\n\n"
        "**Recommendation.** Try it on one service for two weeks, with the three numbers that "
        "would change the decision written down first: cost per request, p99 latency and the "
        "hours spent on operations."
    )


def plan(prompt: str, draws: Draws) -> str:
    """Write numbered steps."""
    return (
        f"Plan for: {excerpt(prompt)}\n\n1. Write down what must keep working, as a test.\n"
        "2. Add the new path beside the old one, switched off.\n"
        f"3. Switch it on for one in ten requests; {draws.pick('check', CHECKS)}.\n"
        "4. Move everything over, keep the way back for a week.\n5. Remove the old path."
    )


def query(prompt: str, draws: Draws) -> str:
    """Write a direct answer."""
    known = next((fact for pattern, fact in FACTS if pattern.search(prompt[:400])), None)
    return known or f'On "{excerpt(prompt)}": in short, {draws.pick("view", VIEWS)}.'


def arithmetic(prompt: str, draws: Draws) -> str:
    """Compute the first sum of the prompt."""
    return str(sum_in(prompt))


def choice(prompt: str, draws: Draws) -> str:
    """Name an option; every model names the same one, so that good answers agree."""
    options = options_in(prompt)
    return options[len(prompt) % len(options)]


def sum_in(prompt: str) -> int:
    """Return the value of the first sum."""
    found = SUM.search(prompt)
    if found is None:
        return 0
    left, sign, right = int(found[1]), found[2], int(found[3])
    if sign == "+":
        return left + right
    return left - right if sign == "-" else left * right


def options_in(prompt: str) -> list[str]:
    """Return the options that the prompt offers."""
    found = CHOICES.search(prompt[:4000])
    parts = re.split(r",|/|\bor\b|\band\b|\|", found[1]) if found else []
    return [part.strip(" '\"`:()") for part in parts if part.strip(" '\"`:()")] or ["yes", "no"]


WRITERS: Mapping[TaskKind, Callable[[str, Draws], str]] = {
    TaskKind.ARITHMETIC: arithmetic,
    TaskKind.CHOICE: choice,
    TaskKind.INVESTIGATE: investigation,
    TaskKind.CODE: code,
    TaskKind.SUMMARY: summary,
    TaskKind.STATUS: status,
    TaskKind.RESEARCH: research,
    TaskKind.PLAN: plan,
    TaskKind.QUERY: query,
}


def good_text(kind: TaskKind, prompt: str, draws: Draws) -> str:
    """Write an answer that would pass a reasonable check."""
    return WRITERS[kind](prompt, draws)


def poor_text(kind: TaskKind, prompt: str, draws: Draws) -> str:
    """Write an answer that a reasonable check refuses: wrong, or too short to be of use."""
    if kind is TaskKind.ARITHMETIC:
        return str(sum_in(prompt) + 1 + int(draws.unit("wrong") * 9))
    if kind is TaskKind.CHOICE:
        options = options_in(prompt)
        return options[(len(prompt) + 1) % len(options)] if len(options) > 1 else "unsure"
    return draws.pick("poor", POOR)
