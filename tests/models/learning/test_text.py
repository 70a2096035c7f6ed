"""The text estimators: what they learn, that they are deterministic, and their JSON form."""

from __future__ import annotations

import json

import pytest

from models.classification import classify
from models.learning.text_estimator import TextExample, estimator_from, trained_estimator
from models.learning.text_features import BUCKETS, HEAD_CHARS, TAIL_CHARS, hashed_words, read_part
from models.learning.text_types import learned_types, types_from
from models.request import RoutingRequest
from models.task_types import TaskType
from models.type_evidence import words_of

EXAMPLES = [
    TextExample(
        f"{'prove the theorem' if hard else 'name the colour'} number {n} of {n % 7}",
        {"a/weak": float(not hard), "b/strong": 1.0},
    )
    for n, hard in enumerate([True, False] * 60)
]


def test_gain_is_larger_where_only_the_strong_model_succeeds():
    estimator = trained_estimator(EXAMPLES)
    hard = estimator.gain("prove the theorem of Fermat", weak="a/weak", strong="b/strong")
    easy = estimator.gain("name the colour of grass", weak="a/weak", strong="b/strong")
    assert hard > easy + 0.3


def test_trained_estimator_is_the_same_for_the_same_outcomes():
    assert trained_estimator(EXAMPLES) == trained_estimator(EXAMPLES)


def test_trained_estimator_refuses_a_handful_of_outcomes():
    with pytest.raises(ValueError, match="at least 50"):
        trained_estimator(EXAMPLES[:10])


def test_estimator_survives_its_document():
    made = trained_estimator(EXAMPLES)
    again = estimator_from(json.loads(json.dumps(made.document())))
    for example in EXAMPLES[:5]:
        for name, chance in made.estimate(example.text).items():
            assert again.estimate(example.text)[name] == pytest.approx(chance, abs=1e-3)


def test_features_are_bounded_whatever_the_text():
    text = "wörter \ud800 " * 100_000
    assert len(read_part(text)) <= HEAD_CHARS + TAIL_CHARS + 1
    assert all(0 <= b < BUCKETS for part in hashed_words(read_part(text)) for b in part)


def types():
    texts = {"poem": "write a poem about the sea", "bill": "add up the bill of the month"}
    return learned_types(
        (name, words_of(f"{text} please")) for name, text in texts.items() for _ in range(5)
    )


def test_classify_takes_learned_types_in_place_of_its_rules():
    made, known = types(), {name: TaskType(name, "normal", "") for name in ("poem", "bill")}
    found = classify(RoutingRequest(prompt="a poem about love"), known, made.infer)
    assert (found.task_type, found.task_type_source) == ("poem", "inferred")


def test_learned_types_say_general_when_no_word_was_seen():
    assert types().infer("", words_of("zzz qqq")) == ("general", 0.0)


def test_learned_types_forget_words_of_a_single_request():
    made = learned_types([("poem", ["sea", "secret"]), ("poem", ["sea"])])
    assert set(made.words) == {"sea"}


def test_learned_types_survive_their_document():
    made = types()
    assert types_from(json.loads(json.dumps(made.document()))) == made
