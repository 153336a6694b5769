"""Who may ask: the page that this server has made, at the address it was given, and no other page of the same browser."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gander.explore.page import SERVED

SLOWEST = 20.0  # seconds a body may take
BODY = "application/octet-stream"
POLICY = f"{SERVED}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Hosts:
    """The names under which a browser may ask for this server.

    A page of another site can make its own name lead to this machine (DNS rebinding) and would then be asked for by that
    name. An address in numbers cannot be made so, therefore a server bound to every address answers to all of them. The port is
    not looked at: it may be another one at the near end of a tunnel.
    """

    bound: str

    def allow(self, name: str) -> bool:
        """Whether the host of a Host header, without its port, is one of them."""
        name = name.lower().rstrip(".").removeprefix("[").removesuffix("]")
        if name in ("localhost", "127.0.0.1", "::1", self.bound.lower()):
            return True
        if self.bound not in EVERYWHERE:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in (socket.gethostname().lower(), socket.getfqdn().lower())
        return True


@dataclass(frozen=True)
class Guard:
    """An application behind these rules; every answer carries the headers that keep a browser careful."""

    app: ASGIApp
    hosts: Hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no sockets, and nothing to be done at the beginning or the end

        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = refuse(scope["method"], Headers(scope=scope), self.hosts)
        await (refusal or self.app)(scope, receive, careful)


def refuse(method: str, headers: Headers, hosts: Hosts) -> PlainTextResponse | None:
    """Why a request is not answered; None where it is."""
    host = headers.getlist("host")
    name = _host(host[0]) if len(host) == 1 else None
    if name is None or not hosts.allow(name):
        given = repr(host[0][:80]) if host else "no name"
        text = f"this server was asked for as {given}; open the address it printed when it started."
        return _line(403, text)
    if method != "POST":
        return None
    if headers.get("content-type", "").partition(";")[0].strip().lower() != BODY:
        given = repr(headers.get("content-type", "")[:80])
        return _line(415, f"a body of type {given} was sent; this server takes {BODY}.")
    origins = headers.getlist("origin")
    origin = ", ".join(origins)
    if origins and (len(origins) > 1 or _place(origin) != host[0].lower()):
        return _line(403, f"a page of {origin[:80]!r} asked; only this server's own page may.")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return _line(403, "a page of another site asked; only this server's own page may.")
    return None


def _line(status: int, text: str) -> PlainTextResponse:
    # The body of a request that is refused is not read, so the connection cannot go on.
    return PlainTextResponse(text, status, {"Connection": "close"})


def _host(header: str) -> str | None:
    """The host of HOST or HOST:PORT; None for anything else."""
    try:
        parts = urlsplit(f"//{header}")
        sound = parts.netloc == header and "@" not in header and (parts.port or 1) > 0
    except ValueError:
        return None
    return parts.hostname if sound and header.isascii() else None


def _place(origin: str) -> str:
    """The host and the port of an origin; empty for anything else, as "null"."""
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return ""
    return parts.netloc if parts.scheme in ("http", "https") else ""
