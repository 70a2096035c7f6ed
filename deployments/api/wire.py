"""HTTP on the wire: the fast parser, where it does less than h11 made to do the same.

An answer is one write: each costs a system call here, and wakes the client up.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024  # as h11 in uvicorn; llhttp itself has no bound
INVALID = "Invalid HTTP request received."


class HttpProtocol(HttpToolsProtocol):
    """One connection; heads and trailers are bounded, a wish for an upgrade is passed over.

    llhttp stops reading at such a wish, with which Java's own client begins: the body would be
    lost. So that connection goes on with h11, which reads past it.
    """

    _unread_bytes = 0  # received since the last piece of a message that is known to be whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection."""
        super().connection_made(cast(asyncio.Transport, JoinedWrites(transport)))

    def data_received(self, data: bytes) -> None:
        """Parse what came, as far as it makes sense."""
        self._unset_keepalive_if_required()
        self._unread_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            self._go_on_with_h11(data[wish.args[0] :])
        except httptools.HttpParserError:
            self._refuse()
        else:
            if self._unread_bytes > HEAD_BYTES_MAX:
                self._refuse()

    def on_message_begin(self) -> None:
        """Begin to count the head."""
        self._unread_bytes = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Begin to count what is between this piece and the next."""
        self._unread_bytes = 0
        super().on_body(body)

    def _should_upgrade(self) -> bool:
        """Keep uvicorn from starting a request where the parser has stopped."""
        return True

    def _refuse(self) -> None:
        self.logger.warning(INVALID)
        self.send_400_response(INVALID)

    def _go_on_with_h11(self, rest: bytes) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False  # an earlier request is answered first, and the last
            return
        protocol = H11Protocol(self.config, self.server_state, self.app_state)
        self.connections.discard(self)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.data_received(self._head() + rest)

    def _head(self) -> bytes:
        scope = self.scope
        first = (
            f"{scope['method']} ".encode() + self.url + f" HTTP/{scope['http_version']}".encode()
        )
        return b"\r\n".join(
            [first, *(name + b": " + value for name, value in self.headers), b"", b""]
        )


class JoinedWrites:
    """A transport that sends two writes of one moment as one: an answer's head and its body."""

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # Any: uvicorn asks it for whatever a transport can do
        self._loop = asyncio.get_running_loop()
        self._held: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold the data for what comes next, or for this round of the loop."""
        held, self._held = self._held, None
        if held is None:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(held + data)

    def close(self) -> None:
        """Close the connection when everything is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._transport.write(held)
