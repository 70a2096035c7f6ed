"""An upstream that answers every chat at once: what is measured is what stands before it.

`python benchmarks/api/stub.py PORT`. HTTP/1.1 with keep-alive, on bare asyncio, one fixed answer.
"""

from __future__ import annotations

import asyncio
import json
import sys

ANSWER = json.dumps(
    {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": "openai/gpt-4o-mini",
        "provider": "OpenAI",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "All checks pass.", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 14,
            "completion_tokens": 5,
            "total_tokens": 19,
            "cost": 0.0000051,
        },
    }
).encode()


class Stub(asyncio.Protocol):
    """Counts the bytes of each request and answers when it is whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            length = 0
            for line in head.split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            if len(self._read) < end + 4 + length:
                return
            self._read = self._read[end + 4 + length :]
            self._answer(b"200 OK" if b"chat/completions" in head else b"404 Not Found")

    def _answer(self, status: bytes) -> None:
        body = ANSWER if status.startswith(b"200") else b"{}"
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % (status, len(body)) + body)  # type: ignore[attr-defined]


async def main(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
