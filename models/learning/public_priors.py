"""Published scores that a model's success starts from, each with its source.

All are MMLU, because it is the one exam that most makers have published for most models; exams of
different kinds are not mixed. A score ranks models, it does not promise that share of successes:
that is why it weighs as little as `models/learning/priors.py` says. Newer models, whose makers no
longer publish MMLU, have no row here on purpose.
"""

from __future__ import annotations

SIMPLE_EVALS = (
    "MMLU, github.com/openai/simple-evals README at 0f2cf33 (zero-shot; other makers as reported)"
)
LLAMA_3_CARD = "MMLU 5-shot, github.com/meta-llama/llama3 MODEL_CARD.md at 13e795f"
CLAUDE_3_CARD = "MMLU 5-shot, Anthropic, The Claude 3 Model Family (2024-03), table 1"
GPT_4_REPORT = "MMLU 5-shot, GPT-4 Technical Report (arXiv 2303.08774), table 2"
MIXTRAL_PAPER = "MMLU 5-shot, Mixtral of Experts (arXiv 2401.04088), table 2"

# Model id, without a version's date -> (score, source)
PUBLIC_SCORES: dict[str, tuple[float, str]] = {
    "openai/gpt-4.1": (0.902, SIMPLE_EVALS),
    "openai/gpt-4.1-mini": (0.875, SIMPLE_EVALS),
    "openai/gpt-4.1-nano": (0.801, SIMPLE_EVALS),
    "openai/gpt-4o": (0.857, SIMPLE_EVALS),
    "openai/gpt-4o-2024-11-20": (0.857, SIMPLE_EVALS),
    "openai/gpt-4o-2024-08-06": (0.887, SIMPLE_EVALS),
    "openai/gpt-4o-2024-05-13": (0.872, SIMPLE_EVALS),
    "openai/gpt-4o-mini": (0.820, SIMPLE_EVALS),
    "openai/gpt-4-turbo": (0.867, SIMPLE_EVALS),
    "openai/gpt-4-1106-preview": (0.847, SIMPLE_EVALS),
    "openai/gpt-3.5-turbo": (0.700, GPT_4_REPORT),
    "openai/o1": (0.918, SIMPLE_EVALS),
    "openai/o3": (0.929, SIMPLE_EVALS),
    "openai/o3-mini": (0.859, SIMPLE_EVALS),
    "openai/o4-mini": (0.900, SIMPLE_EVALS),
    "anthropic/claude-3.5-sonnet": (0.883, SIMPLE_EVALS),
    "anthropic/claude-3-opus": (0.868, SIMPLE_EVALS),
    "anthropic/claude-3-haiku": (0.752, CLAUDE_3_CARD),
    "google/gemini-pro-1.5": (0.819, SIMPLE_EVALS),
    "google/gemini-flash-1.5": (0.779, SIMPLE_EVALS),
    "meta-llama/llama-3-8b-instruct": (0.684, LLAMA_3_CARD),
    "meta-llama/llama-3-70b-instruct": (0.820, LLAMA_3_CARD),
    "meta-llama/llama-3.1-8b-instruct": (0.684, SIMPLE_EVALS),
    "meta-llama/llama-3.1-70b-instruct": (0.820, SIMPLE_EVALS),
    "meta-llama/llama-3.1-405b-instruct": (0.886, SIMPLE_EVALS),
    "mistralai/mixtral-8x7b-instruct": (0.706, MIXTRAL_PAPER),
    "mistralai/mistral-7b-instruct": (0.625, MIXTRAL_PAPER),
}
