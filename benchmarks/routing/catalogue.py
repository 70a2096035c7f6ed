"""The recorded models: their ids at OpenRouter, and list prices where a data set has no costs.

Prices in USD per million tokens. MixA carries each call's cost; its prices here are the ones that
its costs were made with, and serve as the list price that a new installation would know. MMLU-Pro:
genai-prices 0.2.3. LLMRouter: the repository's own `llm_candidates/default_llm.json` (ebdba86).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from models.pricing import MTOK, ModelCard, TokenPrice

READ_AT = datetime(2026, 11, 23, tzinfo=UTC)

MIX = {
    "gpt-4o-mini": ("openai/gpt-4o-mini", "0.15", "0.60"),
    "gpt-4o-0513": ("openai/gpt-4o-2024-05-13", "5", "15"),
    "gpt-3.5-turbo": ("openai/gpt-3.5-turbo", "0.5", "1.5"),
    "claude-3-haiku": ("anthropic/claude-3-haiku", "0.25", "1.25"),
    "claude-3-opus": ("anthropic/claude-3-opus", "15", "75"),
    "claude-3.5-sonnet": ("anthropic/claude-3.5-sonnet", "3", "15"),
    "gemini-1.5-flash": ("google/gemini-flash-1.5", "0.075", "0.30"),
    "gemini-1.5-pro": ("google/gemini-pro-1.5", "1.25", "5"),
    "llama-3-8b": ("meta-llama/llama-3-8b-instruct", "0.03", "0.06"),
    "llama-3-70b": ("meta-llama/llama-3-70b-instruct", "0.51", "0.74"),
}
MMLU_PRO = {
    "Meta-Llama-3_1-8B-Instruct": ("meta-llama/llama-3.1-8b-instruct", "0.05", "0.08"),
    "Meta-Llama-3_1-70B-Instruct": ("meta-llama/llama-3.1-70b-instruct", "0.72", "0.72"),
    "gemini-1.5-flash-002": ("google/gemini-flash-1.5", "0.075", "0.30"),
    "gemini-1.5-pro-002": ("google/gemini-pro-1.5", "1.25", "5"),
    "Mixtral-8x7B-Instruct-v0.1": ("mistralai/mixtral-8x7b-instruct", "0.24", "0.24"),
    "c4ai-command-r-v01": ("cohere/command-r", "0.5", "1.5"),
    "jamba-1.5-large": ("ai21/jamba-1.5-large", "2", "8"),
}
LLM_ROUTER = {
    "llama3-chatqa-1.5-8b": ("nvidia/llama3-chatqa-1.5-8b", "0.2", "0.2"),
    "qwen2.5-7b-instruct": ("qwen/qwen2.5-7b-instruct", "0.2", "0.2"),
    "llama3-chatqa-1.5-70b": ("nvidia/llama3-chatqa-1.5-70b", "0.9", "0.9"),
    "llama-3.1-nemotron-51b-instruct": ("nvidia/llama-3.1-nemotron-51b-instruct", "0.9", "0.9"),
    "mistral-7b-instruct-v0.3": ("mistralai/mistral-7b-instruct", "0.2", "0.2"),
    "gemma-2-9b-it": ("google/gemma-2-9b-it", "0.1", "0.1"),
    "llama-3.1-8b-instruct": ("meta-llama/llama-3.1-8b-instruct", "0.2", "0.2"),
    "codegemma-7b": ("google/codegemma-7b", "0.2", "0.2"),
    "llama-3.3-nemotron-super-49b-v1": ("nvidia/llama-3.3-nemotron-super-49b-v1", "0.9", "0.9"),
}
Rows = dict[str, tuple[str, str, str]]


def card(row: tuple[str, str, str]) -> ModelCard:
    """Return the model as the product's catalogue would list it."""
    model_id, prompt, completion = row
    return ModelCard(
        model_id=model_id,
        provider=model_id.partition("/")[0],
        price=TokenPrice(Decimal(prompt) / MTOK, Decimal(completion) / MTOK),
        context_tokens=None,
        completion_tokens_max=None,
        abilities=frozenset(),
        source="benchmark",
        priced_at=READ_AT,
    )


def call_usd(row: tuple[str, str, str], *, prompt_tokens: float, completion_tokens: float) -> float:
    """Return what one call costs by list price; a statistic of the benchmark, not money."""
    return (float(row[1]) * prompt_tokens + float(row[2]) * completion_tokens) / 1e6
