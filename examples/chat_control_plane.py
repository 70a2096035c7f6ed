"""M1, a chat as control plane: every message routed by itself, streamed, with its price.

python examples/chat_control_plane.py ["first message" "second message" ...]
"""

from __future__ import annotations

import sys
from decimal import Decimal

from stage import perform, told

from deployments.cli.terminal_sink import TerminalSink
from deployments.lanes import run_in_lane
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.adapters.sink import streaming_into

MESSAGES = (
    "Is the payment service up? Answer yes or no.",
    "Why does `range(1, len(rows))` skip a row? Fix it.",
    "Compare building our own queue with buying one: which is better over three years?",
)


class Chat:
    """A conversation that remembers what was said, and what it cost."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.history: list[dict[str, str]] = []
        self.answers: list[RoutingResult] = []

    async def say(self, text: str) -> RoutingResult:
        """Send one message with the conversation before it; the answer streams to the terminal."""
        self.history.append({"role": "user", "content": text})
        request = RoutingRequest(messages=list(self.history), worker_id=f"chat-{self.user}")
        with streaming_into(TerminalSink()):  # a hot path: lane `ledger`, no flow run
            result = await run_in_lane(request, "ledger")
        self.history.append({"role": "assistant", "content": result.content or ""})
        self.answers.append(result)
        return result

    @property
    def cost_usd(self) -> Decimal:
        """What the conversation has cost so far."""
        return sum((answer.cost_usd for answer in self.answers), Decimal(0))


async def play(messages: tuple[str, ...] = MESSAGES) -> Chat:
    """Hold the conversation and say after each message which model answered for how much."""
    chat = Chat("ada")
    for message in messages:
        print(f"\nada: {message}")
        result = await chat.say(message)
        print(f"\n  {told(result)} {result.latency_ms} ms")
    print(f"\n{len(chat.answers)} messages, ${chat.cost_usd}")
    return chat


if __name__ == "__main__":
    given = tuple(sys.argv[1:]) or MESSAGES
    perform(lambda: play(given))
