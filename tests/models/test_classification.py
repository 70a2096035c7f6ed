"""Seed: "determine task type and complexity", by rules, in less than a millisecond."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from models.classification import classify, message_text
from models.policy import Complexity
from models.request import Accept, RoutingRequest
from models.task_types import TASK_TYPES, TaskType

LABELLED = Path(__file__).parent / "data" / "labelled_prompts.tsv"


def labelled(split: str) -> list[tuple[str, str]]:
    """Tabs part the columns, `\\n` stands for a line end."""
    with LABELLED.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            (row["prompt"].replace("\\n", "\n"), row["task_type"])
            for row in rows
            if row["split"] == split
        ]


def class_of(prompt: str, **fields):
    return classify(RoutingRequest(prompt=prompt, **fields))


def accuracy(split: str) -> tuple[float, float]:
    """Return the share of right types, and of right default policies."""
    found = [(class_of(prompt).task_type, wanted) for prompt, wanted in labelled(split)]
    types = sum(name == wanted for name, wanted in found)
    policies = sum(TASK_TYPES[name].policy == TASK_TYPES[wanted].policy for name, wanted in found)
    return types / len(found), policies / len(found)


def test_inference_is_right_on_the_prompts_that_its_weights_were_set_on():
    types, policies = accuracy("dev")
    assert types >= 0.97
    assert policies >= 0.97


def test_inference_is_mostly_right_on_prompts_that_were_held_back():
    types, policies = accuracy("held")
    assert types >= 0.78
    assert policies >= 0.85


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_every_task_type_has_labelled_prompts(task_type):
    wanted = [name for split in ("dev", "held") for _, name in labelled(split)]
    assert wanted.count(task_type) == 6


def test_a_given_type_is_kept_and_never_inferred():
    found = class_of("Fix the bug in the parser", task_type="simple_query")
    assert (found.task_type, found.task_type_source) == ("simple_query", "given")
    assert found.type_score == 0


def test_an_unknown_given_type_is_kept_and_marked():
    found = class_of("Juggle three balls", task_type="juggle")
    assert (found.task_type, found.known) == ("juggle", False)
    assert "juggle (given, a type of its own)" in found.reason()


def test_inference_names_no_type_that_is_not_known():
    only = {"general": TASK_TYPES["general"], "translate": TaskType("translate", "normal", "")}
    request = RoutingRequest(prompt="Summarize the bug report")
    assert classify(request, only).task_type == "general"


def test_reason_says_what_made_the_score():
    reason = class_of("Fix the typo").reason()
    assert reason.startswith("task type fix_bug (inferred), simple (")
    assert "easy_words -0.6" in reason


def test_reason_says_so_when_nothing_speaks_for_any_complexity():
    only = {"general": TASK_TYPES["general"]}
    request = RoutingRequest(messages=[{"role": "user", "content": ""}])
    assert (
        classify(request, only).reason() == "task type general (inferred), simple (0: no features)"
    )


SIMPLE = "What is the capital of Mongolia?"
MODERATE = "Implement a token bucket rate limiter in Go and explain how it works."
COMPLEX = """Design the migration of our billing database to a multi-region setup.
Consider consistency, latency and failover, and weigh the alternatives:
- no downtime is acceptable
- every step must be reversible
- GDPR: personal data stays in the EU
- costs must not double
Then plan the steps, name the risks of each, and justify the order."""


@pytest.mark.parametrize(
    ("prompt", "complexity"),
    [
        (SIMPLE, Complexity.SIMPLE),
        (MODERATE, Complexity.MODERATE),
        (COMPLEX, Complexity.COMPLEX),
        ("Is the payments API up?", Complexity.SIMPLE),
    ],
)
def test_complexity_follows_what_is_asked(prompt, complexity):
    assert class_of(prompt).complexity is complexity


@pytest.mark.parametrize(
    ("feature", "fields"),
    [
        ("tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("schema", {"response_format": {"type": "json_object"}}),
        ("schema", {"accept": Accept(json_schema={"type": "object"})}),
    ],
)
def test_complexity_counts_what_the_request_brings(feature, fields):
    bare, loaded = class_of(SIMPLE), class_of(SIMPLE, **fields)
    assert loaded.score > bare.score
    assert feature in dict(loaded.features)


def test_complexity_counts_images_and_long_conversations():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": "hm"}, {"role": "assistant", "content": None}] * 3
    messages.append({"role": "user", "content": [image, {"type": "text", "text": SIMPLE}, "?"]})
    features = dict(classify(RoutingRequest(messages=messages)).features)
    assert features["images"] == 0.5
    assert features["turns"] == 0.5


def test_classification_reads_the_last_user_message_and_the_system_message():
    messages = [
        {"role": "system", "content": "You translate into French."},
        {"role": "user", "content": "Fix the bug in the parser"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "The meeting is at noon."},
    ]
    assert classify(RoutingRequest(messages=messages)).task_type == "translate"


def test_classification_reads_the_last_message_when_no_user_speaks():
    messages = [{"role": "assistant", "content": "Summarize this: ..."}]
    assert classify(RoutingRequest(messages=messages)).task_type == "summarize"


def test_message_text_is_empty_when_there_is_no_text():
    assert message_text({"role": "assistant", "content": None}) == ""


def test_classification_reads_only_the_ends_of_a_long_prompt():
    filler = "lorem ipsum dolor " * 20_000
    long = f"Summarize the following.\n{filler}Translate deploy refactor.{filler}\nThank you."
    assert class_of(long).task_type == "summarize"


def test_classification_is_the_same_every_time():
    assert class_of(COMPLEX) == class_of(COMPLEX)


@pytest.mark.parametrize(
    ("prompt", "task_type"),
    [
        ("Exception in thread main\n\tat com.shop.Cart.total(Cart.java:41)", "investigate_error"),
        ("\n".join(f"2026-11-0{n} 10:00:00 INFO tick" for n in range(1, 6)), "analyze_logs"),
        ("diff --git a/x b/x\n@@ -1 +1 @@\n-a\n+b", "code_review"),
    ],
)
def test_the_shape_of_a_text_speaks_for_its_type(prompt, task_type):
    assert class_of(prompt).task_type == task_type
