"""``gander explore`` under attack: every answer is sound or one line of refusal, and those who ask properly notice nothing."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import gander
import hostile
import tiny
from explored import rows
from gander.explore import app, connection
from test_explore_server import asked, raw, running

AT_ONCE, LONGEST = 24, 5.0  # attackers, seconds of an answer


class Served:
    """A server in a process of its own, and what the system says of it."""

    def __init__(self, child, port):
        self.child, self.port = child, port
        self.model = gander.load(tiny.run())
        self.width = sum(code.resolved.width for code in self.model.spec.codes)

    def figures(self):
        """Memory in MB, threads and open files; None where the system does not tell."""
        place = Path("/proc", str(self.child.pid))
        if not place.is_dir():
            return None
        status = (place / "status").read_text()
        found = {
            k: int(re.search(rf"^{k}:\s+(\d+)", status, re.M)[1]) for k in ("VmRSS", "Threads")
        }
        return found["VmRSS"] >> 10, found["Threads"], len(list((place / "fd").iterdir()))

    def sane(self):
        """What those who ask properly get: the page, where the run stands, and two drawings."""
        body, right = rows(self.model, [3, 4])
        drawn = asked(self.port, "POST", "/draw", body)
        assert drawn == (200, right.tobytes())
        return asked(self.port, "GET", "/"), asked(self.port, "GET", "/status"), drawn


@contextlib.contextmanager
def served():
    """The command as people start it; whatever it writes on the terminal besides its address is a failure."""
    order = [sys.executable, "-m", "gander", "explore", str(tiny.run()), "--no-open", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        order, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        try:
            address = next(line for line in child.stdout if "http://" in line)
            yield Served(child, int(address.partition("127.0.0.1:")[2].partition("/")[0]))
        finally:
            child.send_signal(signal.SIGINT)
            said = child.communicate(timeout=20)[1]
        assert said == ""


def assert_sound(one, answer, seconds):
    """An answer is one line of refusal, or what a proper request gets."""
    assert seconds < LONGEST + 1, (one.sent[:200], seconds)
    assert answer.status in (200, 503) or 400 <= answer.status < 500, (one.sent[:200], answer)
    assert "x-content-type-options: nosniff" in answer.head, (one.sent[:200], answer)
    if answer.status != 200 and not one.sent.startswith(b"HEAD"):
        text = answer.body.decode()
        assert text.strip() and "\n" not in text and len(text) < 400, (one.sent[:200], text)
        assert not re.search(r"Traceback|\.py|root:|/proc|line \d", text), (one.sent[:200], text)


def attacked(server, first, last):
    """Sends the attacks of these numbers, many at once, and how many were answered."""

    def send(number):
        one = hostile.attack(0, number, server.width)
        found, over, seconds = hostile.sent(server.port, one, LONGEST)
        assert found or over or not one.answered, one.sent[:200]
        for answer in found:
            assert_sound(one, answer, seconds)
        return len(found)

    with ThreadPoolExecutor(AT_ONCE) as attackers:
        return sum(attackers.map(send, range(first, last)))


def survives(count, hundred):
    with served() as server:
        right = server.sane()
        attacked(
            server, 0, hundred
        )  # what is made once and kept, as buffers of the allocator, is there now
        before = server.figures()
        for first in range(hundred, count, hundred):
            answered = attacked(server, first, first + hundred)
            assert answered > hundred // 3
            assert server.sane() == right
        with ThreadPoolExecutor(1) as aside:  # a crowd asks properly while the attack goes on
            going = aside.submit(attacked, server, count, count + hundred)
            body, drawn = rows(server.model, [5])
            with ThreadPoolExecutor(50) as crowd:
                asks = [crowd.submit(asked, server.port, "POST", "/draw", body) for _ in range(50)]
                assert all(ask.result() == (200, drawn.tobytes()) for ask in asks)
            going.result()
        after = server.figures()
        if before is not None:
            assert after[0] < before[0] + 64 and after[1] <= before[1] and after[2] <= before[2] + 4


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_hundreds_of_hostile_requests_change_nothing():
    survives(400, 100)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_hostile_requests_change_nothing():
    survives(100_000, 5000)


def test_the_attacks_are_many_and_always_the_same():
    one = [hostile.attack(0, number, 69).sent for number in range(300)]
    assert one == [hostile.attack(0, number, 69).sent for number in range(300)]
    assert len(set(one)) > 240
    assert max(map(len, one)) > 60_000 and min(map(len, one)) < 20


# ---------------------------------------------------------------------- slow ones
HEAD = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n"
DRAW = b"POST /draw HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"


@pytest.fixture
def hasty(monkeypatch):
    """A server that waits for tenths of what it usually waits."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.6)
    monkeypatch.setattr(connection, "STALLED", 0.6)
    monkeypatch.setattr(connection, "LOOK", 0.1)
    monkeypatch.setattr(connection, "CONNECTIONS", 12)
    with running(tiny.run()) as found:
        yield found


def dripped(port, begin, drop=b"X: y\r\n", every=0.1):
    """The seconds until the server ends a connection on which only drops arrive, and what it said."""
    began, said = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", port), timeout=every) as line:
        line.sendall(begin)
        while time.monotonic() - began < 10:
            with contextlib.suppress(TimeoutError):
                try:
                    part = line.recv(4096)
                    if not part:
                        break
                    said += part
                except ConnectionError:
                    break
            with contextlib.suppress(OSError):
                line.sendall(drop)
    return time.monotonic() - began, said


@pytest.mark.parametrize(
    "begin",
    [
        b"",  # nothing at all
        HEAD,  # half a head, and a line more every tenth of a second
        HEAD + b"\r\n" + HEAD,  # the second half, after an answer
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999\r\n\r\n",  # a body that nobody reads
    ],
    ids=["nothing", "head", "second head", "unread body"],
)
def test_who_never_says_what_he_wants_is_let_go(begin, hasty):
    seconds, said = dripped(hasty[0], begin, b"X: y\r\n" if begin else b"")
    assert 0.4 < seconds < LONGEST
    assert b" 408 " in said or b" 200 OK" in said or b" 400 " in said


def test_one_connection_serves_a_page_that_asks_again_and_again(hasty):
    line = http.client.HTTPConnection("127.0.0.1", hasty[0], timeout=5)
    line.connect()
    first = line.sock
    for _ in range(6):  # more than the seconds that one request may take to arrive
        line.request("GET", "/status")
        assert line.getresponse().read()
        time.sleep(0.25)
    assert line.sock is first
    line.close()


def test_an_answer_that_is_not_taken_is_dropped(hasty, monkeypatch):
    port, live = hasty
    body, _ = rows(live.loaded.model, [1])
    large = b"\0" * (16 << 20)
    monkeypatch.setattr(app.Explorer, "_drawn", lambda *_: large)
    monkeypatch.setattr(app, "MOST_UNSENT", 20 << 20)
    ask = DRAW + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in "1234"]
        for line in lines:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
            line.sendall(ask)
            time.sleep(0.1)
        assert b" 503 " in lines[-1].recv(999)  # so much of it waits in memory, and no more
        ended = time.monotonic() + LONGEST
        while asked(port, "POST", "/draw", body)[0] == 503:  # until those who take nothing are gone
            assert time.monotonic() < ended
            time.sleep(0.1)


def test_one_connection_too_many_is_told_so(hasty):
    port, _ = hasty
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(HEAD)
        answer = raw(port, HEAD + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ") and b"try again" in answer
    ended = time.monotonic() + LONGEST
    while b" 200 OK" not in raw(port, HEAD + b"Connection: close\r\n\r\n"):
        assert time.monotonic() < ended


def test_a_body_in_pieces_is_refused_at_once(hasty):
    pieces = b"1\r\nx\r\n" * 40_000
    begun = time.monotonic()
    answer = raw(hasty[0], DRAW + b"Transfer-Encoding: chunked\r\n\r\n" + pieces)
    assert (not answer or b" 411 " in answer) and time.monotonic() - begun < 2


# ---------------------------------------------------------------------- a run that is taken apart
def piped(place):
    place.unlink(missing_ok=True)
    os.mkfifo(place)


def pointing(place, target="/etc/passwd"):
    place.unlink(missing_ok=True)
    place.symlink_to(target)


TAKEN_APART = {
    "log is a pipe": lambda run: piped(run / "log.jsonl"),
    "lock is a pipe": lambda run: piped(run / ".lock"),
    "names are a pipe": lambda run: piped(run / "names.json"),
    "figures are a pipe": lambda run: piped(run / "metrics.jsonl"),
    "weights are a pipe": lambda run: piped(run / "weights" / "averaged.safetensors"),
    "weights are a link to a text": lambda run: pointing(run / "weights" / "averaged.safetensors"),
    "names are a link to a text": lambda run: pointing(run / "names.json"),
    "log is a link to a text": lambda run: pointing(run / "log.jsonl"),
    "log is a device": lambda run: pointing(run / "log.jsonl", "/dev/zero"),
    "weights are nonsense": lambda run: (run / "weights" / "averaged.safetensors").write_bytes(b"\xff" * 99),
    "the run is gone": shutil.rmtree,
}  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes there")
def test_a_run_that_is_taken_apart_is_still_drawn(tmp_path, capfd):
    source = tiny.run()
    place = tmp_path / "run"
    shutil.copytree(source, place)
    with running(place) as (port, live):
        body, right = rows(live.loaded.model, [1])
        for about, change in TAKEN_APART.items():
            if not place.is_dir():
                shutil.copytree(source, place)
            change(place)
            begun = time.monotonic()
            status, text = asked(port, "GET", "/status")
            assert status == 200 and b"root:" not in text, about
            status, text = asked(port, "GET", "/")
            assert status == 200 and b"root:" not in text, about
            assert asked(port, "POST", "/draw", body) == (200, right.tobytes()), about
            assert time.monotonic() - begun < LONGEST, about
            shutil.rmtree(place, ignore_errors=True)
    assert capfd.readouterr().err == ""
