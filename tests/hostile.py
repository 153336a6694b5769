"""What a stranger sends to the server of ``gander explore``: requests as bytes, each a function of a seed and its number."""

import json
import random
import re
import socket
import struct
import time
from dataclasses import dataclass

import numpy as np

from explored import picture

HOST = b"Host: 127.0.0.1\r\n"
BODY = b"Content-Type: application/octet-stream\r\n"
PATHS = (
    *(b"/", b"/status", b"/draw", b"/read", b"/find", b"//", b"/.", b"/..", b"*", b"", b"/\x00"),
    *(b"/../../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/..%2f..%2fetc%2fpasswd", b"/%00"),
    *(b"/..%5c..%5cetc", b"/%252e%252e/config.toml", b"/config.toml", b"/weights/", b"/best/best.json"),
    *(b"/%ff%fe", b"/%c0%ae%c0%ae/", b"/\xff", b"/draw%20", b"/Draw", b"/draw;x", b"/draw#x"),
    *(b"http://127.0.0.1/status", b"http://evil.com/", b"file:///etc/passwd", b"/" + b"a/" * 3000),
    *(b"/status?codes=%00", b"/status?codes=x&codes=y", b"/status?" + b"&" * 9000, b"/draw?codes=%ff"),
)  # fmt: skip
METHODS = (
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"TRACE",
    b"CONNECT",
    b"OPTIONS",
    b"get",
    b"G\x00T",
    b"A" * 999,
)
HOSTS = (
    *(b"evil.com", b"127.0.0.1.evil.com", b"127.0.0.1@evil.com", b"", b"[::1", b"a/b", b"127.0.0.1:99999"),
    *(b"localhost.evil.com", b"127.1", b"0x7f000001", b"2130706433", b"\xff", b"127.0.0.1, evil.com"),
)  # fmt: skip
STRANGE_HEADERS = (
    *(b"Origin: http://evil.com", b"Origin: null", b"Sec-Fetch-Site: cross-site", b"Upgrade: h2c"),
    *(b"Connection: upgrade", b"Expect: 100-continue", b"Expect: a miracle", b"Range: bytes=0-9"),
    *(b"Cookie: " + b"a=b;" * 999, b"X: \x00", b"X : y", b" folded", b"X-Forwarded-Host: evil.com"),
    *(b"Content-Length: 0", b"Content-Length: -1", b"Content-Length: 1e9", b"Content-Length: 5, 6"),
    *(b"Content-Length: " + b"9" * 19, b"Content-Length: " + b"9" * 5000, b"Transfer-Encoding: gzip"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding: xchunked"),
    *(b"Content-Type: application/json", b"Accept-Encoding: gzip, br", b"Host: evil.com", b"Host: 127.0.0.1"),
)  # fmt: skip
PIECES = (
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"-1\r\n",
    b"1;" + b"x" * 999,
)
FIRST = (
    *(b"\r\n" * 9, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), b"SSH-2.0-x\r\n\r\n"),
    *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n", b"\xff" * 99 + b"\r\n\r\n"),
    *(b"GET  / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\n\n", b"GET / HTTP/9.9\r\n\r\n", b"a" * 70_000),
)  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """Bytes to send, and whether something must come back: not of what waits for more."""

    sent: bytes
    answered: bool


def attack(seed, number, width):
    """One hostile attempt; ``width`` is how many numbers an image takes."""
    draw = random.Random(f"{seed} {number}")
    one = draw.choice(SORTS)(draw, width)
    if draw.random() < 0.5 or not one.sent:
        return one
    whole = bytearray(one.sent)
    whole[draw.randrange(min(len(whole), 200))] = draw.randrange(256)
    return Attack(bytes(whole), False)


def _post(path, body, *lines, length=None):
    said = len(body) if length is None else length
    more = b"".join(line + b"\r\n" for line in lines)
    return (
        b"POST %s HTTP/1.1\r\n%s%sContent-Length: %d\r\n%s\r\n" % (path, HOST, BODY, said, more)
        + body
    )


def _numbers(draw, width):
    kind = draw.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-42, 0.5, "random", "cut", "long"])
    count = draw.choice([1, 1, 2, 7])
    if kind == "random":
        return draw.randbytes(4 * width * count)
    if kind == "cut":
        return bytes(draw.randrange(4 * width * count))
    if kind == "long":
        return bytes(4 * width * 256 + draw.randrange(1, 9999))
    rows = np.full(width * count, 0.25, "<f4")
    rows[draw.randrange(len(rows))] = kind
    return rows.tobytes()


def drawing(draw, width):
    return Attack(_post(b"/draw", _numbers(draw, width)), True)


def bomb(draw, width):
    side = draw.choice([0, 1, 30_000, 2**31 - 1])
    head = struct.pack(">IIBBBBB", side, side, 8, draw.choice([0, 2, 3, 6]), 0, 0, 0)
    return _post(
        draw.choice([b"/read", b"/find"]), b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + head + bytes(99)
    )


def picturing(draw, width):
    if draw.random() < 0.3:
        return Attack(bomb(draw, width), True)
    body = bytearray(picture(kind=draw.choice(["PNG", "GIF", "BMP", "JPEG", "WEBP", "TIFF"])))
    for _ in range(draw.randrange(1, 20)):
        body[draw.randrange(min(len(body), 60))] = draw.randrange(256)
    body = body[: draw.randrange(len(body))]
    return Attack(_post(b"/read", bytes(body)), True)


def nesting(draw, width):
    deep = draw.choice(
        [b"[" * 9000, b'{"a":' * 5000, json.dumps({"n": 1e308}).encode(), b"\0" * 99]
    )
    return Attack(_post(draw.choice([b"/draw", b"/read", b"/find"]), deep), True)


def asking(draw, width):
    head = b"%s %s HTTP/1.%d\r\n" % (draw.choice(METHODS), draw.choice(PATHS), draw.randrange(2))
    lines = draw.sample(STRANGE_HEADERS, draw.randrange(4))
    named = HOST if draw.random() < 0.7 else b"Host: %s\r\n" % draw.choice(HOSTS)
    return Attack(head + named + b"".join(line + b"\r\n" for line in lines) + b"\r\n", False)


def flooding(draw, width):
    lines = b"".join(b"X-%d: y\r\n" % n for n in range(draw.choice([200, 3000, 20_000])))
    return Attack(b"GET /status HTTP/1.1\r\n" + HOST + lines + b"\r\n", True)


def smuggling(draw, width):
    inner = b"GET /status HTTP/1.1\r\nHost: evil.com\r\n\r\n"
    lines = draw.sample(STRANGE_HEADERS, 2)
    return Attack(
        _post(b"/draw", draw.choice(PIECES) + inner, *lines, length=draw.randrange(9)), False
    )


def lying(draw, width):
    length = draw.choice([10, 4 * width, 1 << 20, 1 << 62])
    return Attack(_post(b"/draw", bytes(draw.randrange(9)), length=length), False)


def halving(draw, width):
    whole = _post(b"/draw", bytes(4 * width))
    return Attack(whole[: draw.randrange(len(whole))], False)


def flipping(draw, width):
    whole = bytearray(_post(b"/draw", bytes(4 * width)))
    for _ in range(draw.randrange(1, 4)):
        whole[draw.randrange(160)] = draw.randrange(256)
    return Attack(bytes(whole), False)


def together(draw, width):
    return Attack(b"".join(drawing(draw, width).sent for _ in range(draw.randrange(2, 9))), True)


def beginning(draw, width):
    return Attack(draw.choice(FIRST), True)


SORTS = (
    *(drawing, picturing, nesting, asking, asking, flooding, smuggling, lying, halving, flipping),
    *(together, beginning),
)  # fmt: skip


# ---------------------------------------------------------------------- what comes back
@dataclass(frozen=True)
class Answer:
    """What came back: its status, its head in small letters, its body."""

    status: int
    head: str
    body: bytes


def answers(found, headless=False):
    """The whole answers in some bytes, and what is left."""
    parsed = []
    while b"\r\n\r\n" in found:
        head, _, rest = found.partition(b"\r\n\r\n")
        status = int(re.match(rb"HTTP/1\.1 (\d{3}) ", head)[1])
        text = head.decode("latin-1").lower()
        length = re.search(r"^content-length: (\d+)\r?$", text, re.M)
        size = int(length[1]) if length and not headless else 0
        if len(rest) < size:
            break
        if status >= 200:
            parsed.append(Answer(status, text, rest[:size]))
        found = rest[size:]
    return parsed, found


def sent(port, one, patience=5.0, short=0.1):
    """Sends an attack; gives the answers, whether the server hung up, and the seconds until the last byte.

    A server that waits for more is waited for shortly.
    """
    begun = last = time.monotonic()
    found, over = b"", False
    headless = one.sent.startswith(b"HEAD")
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as line:
        try:
            line.sendall(one.sent)
            line.settimeout(patience if one.answered else short)
            while not over:
                part = line.recv(1 << 16)
                found, over, last = found + part, not part, time.monotonic()
                if answers(found, headless)[0]:
                    line.settimeout(short / 5)  # perhaps another
        except TimeoutError:
            pass
        except (
            OSError
        ):  # it hung up before it had read all, and what it had said is lost on the way
            over = True
    return answers(found, headless)[0], over, last - begun
