"""Token counts: deterministic estimates that stay within a bound a client can compute.

The bound that `prompt_tokens` keeps, whatever the model:

    prompt_tokens <= UTF-8 bytes of every text + 8 per message + 8 + 1,000 per image

where "every text" is message contents, tool-call names and arguments, and, as compact JSON, the
`tools` and `response_format` of the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deployments.simulator.wire import Json, to_json

IMAGE_TOKENS = 1000
LOW_DETAIL_IMAGE_TOKENS = 85
MESSAGE_TOKENS = 4
REPLY_TOKENS = 3
# Relative to OpenAI's o200k; rough public comparisons, only their order matters here.
FAMILY_PERCENT = {"anthropic": 118, "google": 102, "mistralai": 112, "meta-llama": 106}


def count_tokens(text: str, percent: int = 100) -> int:
    """Return about a quarter of the characters, more for non-ASCII, never more than the bytes."""
    characters, size = len(text), len(text.encode("utf-8", "surrogatepass"))
    estimate = (characters + 3) // 4 + (size - characters) // 2
    return min(size, -(-estimate * percent // 100))


def cut_to_tokens(text: str, tokens: int, percent: int = 100) -> str:
    """Return the longest prefix that counts at most `tokens`."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(text[:middle], percent) <= tokens:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def texts_of(message: Json) -> Iterable[str]:
    """Yield every text of one message, tool calls included."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield str(function.get("name", ""))
        yield str(function.get("arguments", ""))


def image_tokens(message: Json) -> int:
    """Return a fixed count per image, 85 for `detail: low`, as OpenAI bills them."""
    content = message.get("content")
    if not isinstance(content, list):
        return 0
    images = [p for p in content if isinstance(p, dict) and p.get("type") == "image_url"]
    low = sum(1 for i in images if (i.get("image_url") or {}).get("detail") == "low")
    return low * LOW_DETAIL_IMAGE_TOKENS + (len(images) - low) * IMAGE_TOKENS


def prompt_tokens(messages: Sequence[Json], extras: Iterable[object], author: str) -> int:
    """Count a whole prompt; `extras` are the JSON documents that also reach the model."""
    percent = FAMILY_PERCENT.get(author, 100)
    total = REPLY_TOKENS
    for message in messages:
        total += MESSAGE_TOKENS + image_tokens(message)
        total += sum(count_tokens(text, percent) for text in texts_of(message))
    return total + sum(count_tokens(to_json(extra).decode(), percent) for extra in extras if extra)
