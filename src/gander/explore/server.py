"""``gander explore``: finds a free port, opens the browser and serves the page until Ctrl-C."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
import threading
import warnings
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gander.errors import UseError
from gander.explore.live import Live

LOOPBACK = "127.0.0.1"
FIRST_PORT, PORTS = 8000, 50  # the first that is tried, and how many
PARTING = 0.3  # seconds that requests in hand may take at the end


def explore(
    run: str | Path,
    *,
    port: int | None = None,
    host: str = LOOPBACK,
    browser: bool = True,
    device: str = "cpu",
    tell: Callable[[str], None] = print,
) -> None:
    """Serves the knobs page of a run until Ctrl-C; a run that still trains is watched.

    ``port`` None takes the first free one from 8000 on. ``host`` other than this machine's own loopback lets others in, and
    nothing asks them for a password. ``tell`` hears the address. Raises ``UseError``.
    """
    needs()
    with listen(host, port) as listener:
        live = Live(run, device)
        address = f"http://{_named(host)}:{listener.getsockname()[1]}/"
        server = prepared(live, host)
        if not _is_loopback(host):
            tell(
                f"Warning: whoever reaches this machine at {host} can use this page, and no password is asked for."
            )
        tell(f"{live.folder or live.place} is at {address}  (Ctrl-C stops it)")
        if os.environ.get("SSH_CONNECTION") and _is_loopback(host):
            at = listener.getsockname()[1]
            tell(f"From where you sit: ssh -L {at}:{LOOPBACK}:{at} {socket.gethostname()}")
        if browser and _has_screen():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            tell("\nStopped.")
        finally:
            live.stopped.set()


def needs() -> None:
    """Refuses to go on where the web server's packages are absent."""
    try:
        import starlette
        import uvicorn
    except ImportError:
        raise UseError(
            "gander explore needs starlette and uvicorn: pip install 'gander[web]'. "
            "gander export --to html makes a page that needs no server."
        ) from None
    del starlette, uvicorn


def prepared(live: Live, host: str) -> Any:
    """The uvicorn server of a model; its ``run(sockets=[listener])`` returns when it is stopped."""
    import uvicorn
    from PIL import Image

    from gander.explore import app, connection, guard

    def unsent() -> int:
        lines: set[Any] = server.server_state.connections
        return sum(line.transport.get_write_buffer_size() for line in lines)

    # A large picture is refused in words; the terminal need not hear of it.
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
    server = uvicorn.Server(
        uvicorn.Config(
            app.make(live, guard.Hosts(host), unsent),
            loop="asyncio",
            http=connection.Line,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=2
            * connection.CONNECTIONS,  # its own limit, said in words, is met first
            timeout_graceful_shutdown=PARTING,
        )
    )
    leave = server.handle_exit

    def handle_exit(signal: int, frame: Any) -> None:
        live.stopped.set()
        leave(signal, frame)

    server.handle_exit = handle_exit
    return server


# ---------------------------------------------------------------------- where it listens
def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens at this port, or at the first free one. Raises ``UseError``."""
    if port is not None and not 0 <= port <= 65535:
        raise UseError(
            f"--port is a number from 0 (any) to 65535, given {port}; give one, as --port 8000."
        )
    try:
        family, *_, place = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UseError(
            f"--host {host}: there is no such address; give 127.0.0.1, 0.0.0.0 or an address of this machine."
        ) from None
    tried = [port] if port is not None else [*range(FIRST_PORT, FIRST_PORT + PORTS), 0]
    for at in tried:
        # Only of a socket that says it is TCP does asyncio switch off the waiting for fuller packets, 40 ms an answer.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name == "posix":  # elsewhere this lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((place[0], at, *place[2:]))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if port is None and error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise _no_port(host, at, error) from None
        return listener
    raise UseError("there is no free port here.")


def _no_port(host: str, port: int, error: OSError) -> UseError:
    if error.errno == errno.EADDRINUSE:
        return UseError(
            f"--port {port} is taken; give another one, or leave --port out for the first free one."
        )
    if error.errno == errno.EACCES:
        return UseError(f"--port {port} may not be used here; give one from 1024 on.")
    return UseError(f"--host {host} is not an address of this machine: {error.strerror}.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _named(host: str) -> str:
    """The host as the address of a page has it."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _has_screen() -> bool:
    """Whether a browser would be a window; without one it would take over this terminal."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform != "linux" or bool(screen or os.environ.get("BROWSER"))
