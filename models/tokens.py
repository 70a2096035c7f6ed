"""Token counts before a call: a hard upper bound for holds, and an estimate for expectations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Messages = Sequence[Mapping[str, Any]]  # chat messages, OpenAI shape

MESSAGE_TOKENS = 8  # role, separators and name; OpenAI's cookbook counts 3 to 5
PROMPT_TOKENS = 8  # what primes the reply
# Anthropic puts up to 530 tokens of its own in front when tools are given (claude-3-opus; 346 for
# Claude 4: platform.claude.com/docs, tool use pricing, 2026), others compile tools to less.
TOOLS_TOKENS = 600
BYTES_PER_TOKEN = 3.5

# The most tokens that one image becomes: (model id prefix, detail high or auto, detail low).
# gpt-4o-mini: 2,833 + 8 tiles * 5,667; gpt-4o: 85 + 8 tiles * 170 (2048 x 768 is eight 512 px
# tiles); gpt-4.1-mini, -nano, gpt-5-mini, -nano: 1,536 patches * 2.46 at most (OpenAI, images and
# vision guide). Claude: 4,784 (platform.claude.com/docs, vision). Gemini: 2,240 in version 3, 258 a
# tile before (ai.google.dev, tokens and media resolution). A 12 megapixel photo was billed as
# 14,364 tokens by GPT-6 (huggingface.co/datasets/JOHNISKING/image-token-cost): every other model
# gets room for twice that.
IMAGE_TOKENS = (
    ("openai/gpt-4o-mini", 48_200, 2_900),
    ("openai/gpt-4o", 1_600, 100),
    ("openai/gpt-4.1-mini", 3_800, 700),
    ("openai/gpt-4.1-nano", 3_800, 700),
    ("openai/gpt-4.1", 1_600, 100),
    ("openai/gpt-5-", 3_800, 700),
    ("anthropic/", 5_000, 5_000),
    ("google/", 8_200, 8_200),
)
IMAGE_TOKENS_UNKNOWN = (32_768, 32_768)


def prompt_tokens_bound(
    messages: Messages,
    tools: Sequence[Mapping[str, Any]] | None = None,
    response_format: Mapping[str, Any] | None = None,
) -> int:
    """Return a number of prompt tokens that no tokenizer exceeds, images not counted.

    A byte-level tokenizer never makes more tokens than the text has UTF-8 bytes. One message
    "hello": 5 bytes + 8 + 8 = 21. Images are counted by `image_tokens_bound`, per model.
    """
    total = PROMPT_TOKENS + len(messages) * MESSAGE_TOKENS
    total += sum(byte_count(text) for message in messages for text in texts_of(message))
    if tools:
        total += TOOLS_TOKENS + _json_bytes(tools)
    if response_format:
        total += TOOLS_TOKENS + _json_bytes(response_format)
    return total


def prompt_tokens_estimate(bound_tokens: int) -> int:
    """Return the prompt tokens to expect for a bound: 3.5 bytes a token, at least one."""
    return max(1, round(bound_tokens / BYTES_PER_TOKEN))


def image_tokens_bound(model_id: str, *, images: int, images_low: int) -> int:
    """Return the most prompt tokens that the images become; `images` includes the low ones."""
    if images == 0:
        return 0
    high, low = next(
        ((high, low) for prefix, high, low in IMAGE_TOKENS if model_id.startswith(prefix)),
        IMAGE_TOKENS_UNKNOWN,
    )
    return (images - images_low) * high + images_low * low


def byte_count(text: str) -> int:
    """Return the UTF-8 length; plain ASCII, the common case, is not copied for it."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def texts_of(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield every text of a message that reaches the model: content, name, tool calls."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (_part_text(part) for part in content)
    for field in ("name", "refusal", "reasoning", "tool_call_id"):
        if isinstance(message.get(field), str):
            yield message[field]
    for field in ("tool_calls", "function_call", "reasoning_details"):
        if message.get(field):
            yield _json(message[field])


def _part_text(part: object) -> str:
    if not isinstance(part, dict) or is_image(part):
        return "" if isinstance(part, dict) else _json(part)
    text = part.get("text")
    return text if isinstance(text, str) else _json(part)


def is_image(part: object) -> bool:
    """Say whether a content part is an image."""
    return isinstance(part, dict) and part.get("type") in ("image_url", "input_image", "image")


def image_parts(messages: Messages) -> list[dict[str, Any]]:
    """Return the image parts of all messages."""
    return [
        part
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
        if is_image(part)
    ]


def image_count(messages: Messages) -> int:
    """Return how many images the messages hold."""
    return len(image_parts(messages))


def low_detail_count(images: Sequence[Mapping[str, Any]]) -> int:
    """Return how many of the images ask for `detail: low`."""
    return sum(
        1
        for part in images
        if isinstance(part.get("image_url"), dict) and part["image_url"].get("detail") == "low"
    )


def _json(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)


def _json_bytes(document: object) -> int:
    return byte_count(_json(document))
