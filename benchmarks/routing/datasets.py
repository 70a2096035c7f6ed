"""The recorded outcomes: prompts, their true task type, and how each model did at which cost."""

from __future__ import annotations

import csv
import gzip
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.routing.catalogue import LLM_ROUTER, MIX, MMLU_PRO, Rows, call_usd, card
from models.pricing import ModelCard

CHARS_PER_TOKEN, ANSWER_TOKENS = 4, 256  # LLMRouter records neither: the same for every model
WEAK, STRONG = "mistralai/mixtral-8x7b-instruct", "openai/gpt-4-1106-preview"


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt with the outcome of every model: success from 0 to 1, and cost in USD."""

    key: str
    text: str
    task: str
    success: Mapping[str, float]
    cost_usd: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Cases of one source, all of them answered by the same models."""

    name: str
    cases: tuple[Case, ...]
    cards: tuple[ModelCard, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The models' ids."""
        return tuple(card.model_id for card in self.cards)


def mix(folder: Path) -> Dataset:
    """Return MixA: 10 models on ZeroEval and BFCL tasks, with recorded costs."""
    cases = []
    for row in _rows(folder / "mixA.csv.gz"):
        success = {ids[0]: float(row[f"y:{name}"] or 0) for name, ids in MIX.items()}
        cost = {ids[0]: float(row[f"c:{name}"] or 0) for name, ids in MIX.items()}
        cases.append(Case(row["id"], row["prompt"], row["task"], success, cost))
    return _dataset("MixA", cases, MIX)


def mmlu_pro(folder: Path) -> Dataset:
    """Return MMLU-Pro: 7 models with a list price, on the prompts that all of them answered."""
    found: defaultdict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for row in _rows(folder / "mmlu_pro_outcomes.csv.gz"):
        if row["model"] in MMLU_PRO:
            outcome = (float(row["correct"]), float(row["out_tok"] or 0))
            found[row["id"]][row["model"]] = outcome
    cases = []
    for row in _rows(folder / "mmlu_pro_prompts.csv.gz"):
        answers = found[row["id"]]
        if len(answers) < len(MMLU_PRO):
            continue
        success = {ids[0]: answers[name][0] for name, ids in MMLU_PRO.items()}
        tokens = float(row["in_tok"])
        cost = {
            ids[0]: call_usd(ids, prompt_tokens=tokens, completion_tokens=answers[name][1])
            for name, ids in MMLU_PRO.items()
        }
        cases.append(Case(row["id"], row["prompt"], row["task"], success, cost))
    return _dataset("MMLU-Pro", cases, MMLU_PRO)


def llm_router(folder: Path) -> Dataset:
    """Return LLMRouter: 9 models; costs from list prices, answers taken to be equally long."""
    cases = []
    for row in _rows(folder / "llmrouter9.csv.gz"):
        if any(not row[name] for name in LLM_ROUTER):
            continue
        tokens = len(row["prompt"]) / CHARS_PER_TOKEN
        success = {ids[0]: float(row[name]) for name, ids in LLM_ROUTER.items()}
        cost = {
            ids[0]: call_usd(ids, prompt_tokens=tokens, completion_tokens=ANSWER_TOKENS)
            for ids in LLM_ROUTER.values()
        }
        cases.append(Case(row["prompt"], row["prompt"], row["task"], success, cost))
    return _dataset("LLMRouter-9", cases, LLM_ROUTER)


def pair(folder: Path, name: str) -> tuple[Case, ...]:
    """Return RouteLLM's outcomes of two models, contaminated prompts left out."""
    return tuple(
        Case(
            key=row["prompt"],
            text=row["prompt"],
            task=row.get("domain") or "gsm8k",
            success={WEAK: _flag(row["mixtral_8x7b"]), STRONG: _flag(row["gpt_4_1106"])},
            cost_usd={WEAK: 0.0, STRONG: 1.0},
        )
        for row in _rows(folder / f"routellm_{name}.csv.gz")
        if row["contaminated"] != "True"
    )


def _dataset(name: str, cases: list[Case], rows: Rows) -> Dataset:
    return Dataset(name, tuple(cases), tuple(card(row) for row in rows.values()))


def _flag(text: str) -> float:
    return 1.0 if text == "True" else 0.0


def _rows(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)
