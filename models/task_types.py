"""The task types that Switchyard knows, and the policy that serves each by default."""

from __future__ import annotations

from dataclasses import dataclass

GENERAL = "general"


@dataclass(frozen=True, slots=True)
class TaskType:
    """One kind of work. `weight` shifts the complexity score: some work is hard by nature."""

    name: str
    policy: str
    description: str
    weight: float = 0.0


def _table(*rows: tuple[str, str, float, str]) -> dict[str, TaskType]:
    return {name: TaskType(name, policy, text, weight) for name, policy, weight, text in rows}


# The first five are the seed's map ("Task Type Mapping"); the rest follows its use cases.
TASK_TYPES = _table(
    ("investigate_error", "code", 1.0, "find the cause of a failure in code or a service"),
    ("deploy_code", "code", 0.5, "roll out, roll back or configure a release"),
    ("analyze_logs", "normal", 0.5, "read log lines and say what they mean"),
    ("fix_bug", "code", 1.0, "change code so that a fault goes away"),
    ("simple_query", "ops", -1.0, "a short question with a short answer"),
    ("update_dependency", "code", 0.0, "move a library or runtime to another version"),
    ("create_pr", "code", 0.0, "write up a change as a pull request or commit message"),
    ("code_review", "code", 1.0, "judge a change or a piece of code"),
    ("write_tests", "code", 0.5, "write or extend automated tests"),
    ("write_code", "code", 0.5, "write new code"),
    ("refactor", "code", 1.0, "restructure code without changing what it does"),
    ("explain_code", "code", 0.0, "say what a piece of code does"),
    ("health_check", "ops", -1.0, "ask whether something is up and well"),
    ("status_update", "ops", -1.0, "report progress in a few words"),
    ("format_text", "ops", -1.0, "change the form of a text or data, not its meaning"),
    ("classify_text", "ops", -0.5, "put a text into one of a few classes"),
    ("extract_data", "normal", -0.5, "pull named values out of a text"),
    ("summarize", "normal", 0.0, "shorten a text"),
    ("translate", "normal", 0.0, "put a text into another language"),
    ("write_text", "normal", 0.0, "write mail, documentation or other prose"),
    ("report", "normal", 0.5, "turn findings or figures into a report"),
    ("research", "deep_research", 1.5, "gather and weigh what is known on a subject"),
    ("strategic_analysis", "deep_research", 2.0, "weigh a decision with long consequences"),
    ("architecture_review", "deep_research", 2.0, "judge or design the shape of a system"),
    ("compare_options", "deep_research", 1.5, "weigh alternatives against each other"),
    (GENERAL, "normal", 0.0, "everything else"),
)


def types_served_by(policy: str) -> tuple[str, ...]:
    """Return the built-in task types of a default policy, in the table's order."""
    return tuple(kind.name for kind in TASK_TYPES.values() if kind.policy == policy)
