"""One connection to the server: how long it may take to ask, how fast it must take what it asked for, and what is no request."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from gander.explore.guard import HEADERS

CONNECTIONS = 256  # at one time
HEAD_SECONDS = 10.0  # that a request may take to say what it asks, or a connection to ask again
HEAD_BYTES = 1 << 15
MOST_HEADERS = 100
STALLED = 10.0  # seconds in which at least so much of an answer must be taken:
LEAST_TAKEN = 1 << 18  # bytes
LOOK = 1.0  # seconds between looks at a connection


class Strict(h11.Connection):
    """The rules of HTTP, and some of our own: the page never sends what they refuse."""

    trouble = (400, "this is no request that this server can read.")

    def next_event(self) -> Any:
        """The next part of a request. Raises ``RemoteProtocolError``; ``trouble`` then says why, as a status and one line."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431:
                self.trouble = (431, f"the head of a request has at most {HEAD_BYTES:,} bytes.")
            raise
        if isinstance(event, h11.Request):
            names = [name for name, _ in event.headers]
            if len(names) > MOST_HEADERS:
                self._refuse(431, f"the head of a request has at most {MOST_HEADERS} lines.")
            if b"transfer-encoding" in names:
                # One byte a piece, a body of some kilobytes would take seconds to put together.
                self._refuse(411, "a body is sent whole, with its Content-Length, not in pieces.")
        return event

    def _refuse(self, status: int, text: str) -> None:
        self.trouble = (status, text)
        raise h11.RemoteProtocolError(text, error_status_hint=status)


class Line(H11Protocol):  # type: ignore[misc]
    """A connection that is looked at every second: one that is in no hurry is ended, so that others find room."""

    conn: Strict

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.conn = Strict(h11.SERVER, HEAD_BYTES)
        self._look: asyncio.TimerHandle | None = None
        self._free_since = self._taken_at = self.loop.time()
        self._unsent = 0

    @property
    def is_free(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begins to look at it; one too many is told so at once, or the files that this process may open would run out."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self.refuse(503, f"{CONNECTIONS} connections are open already; try again soon.")
        self._look = self.loop.call_later(LOOK, self.look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops looking."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """From here on the next request is waited for."""
        self._free_since = self.loop.time()
        super().on_response_complete()

    def look(self) -> None:
        """Ends a connection that asks nothing for too long, or that does not take its answer."""
        now = self.loop.time()
        self._look = self.loop.call_later(LOOK, self.look)
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent <= self._unsent - LEAST_TAKEN or not self._unsent:
            self._unsent, self._taken_at = unsent, now
        if unsent:
            if now - self._taken_at > STALLED:
                # Without a farewell, or the system would keep what is unsent for minutes.
                line = self.transport.get_extra_info("socket")
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
        elif self.is_free and now - self._free_since > HEAD_SECONDS:
            self.refuse(408, f"nothing whole was asked for in {HEAD_SECONDS:g} seconds.")

    def send_400_response(self, msg: str) -> None:
        """What is no request is refused in our own words; where an answer has been given already, it has been the last."""
        self.refuse(*self.conn.trouble)

    def refuse(self, status: int, text: str) -> None:
        """One line and the end, where nothing has been answered on this request yet."""
        begun = self.cycle is not None and self.cycle.response_started
        between = self.conn.our_state is h11.IDLE
        if not self.transport.is_closing() and (between or not begun):
            lines = {**HEADERS, "Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            body = f"Content-Length: {len(text)}\r\n\r\n{text}"
            self.transport.write(f"{start}{head}{body}".encode("ascii"))
        self.transport.close()
