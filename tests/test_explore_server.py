"""gander explore as it really runs: ports, many clients at once, slow and endless ones, Ctrl-C, and the page in a browser."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import browser
import gander
import tiny
from explored import BODY, picture, rows
from gander.cli import run as command
from gander.errors import UseError
from gander.explore import app, finding, guard, server
from gander.explore.guard import Hosts
from gander.explore.live import Live


@contextlib.contextmanager
def running(place, host="127.0.0.1"):
    """A server of a run on a free port, in a thread; gives the port and the model that is served."""
    live = Live(place)
    with warnings.catch_warnings(), server.listen(host, 0) as listener:
        made = server.prepared(live, host)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1], live
        finally:
            made.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def served():
    with running(tiny.run()) as found:
        yield found


def asked(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or (BODY if body is not None else {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def raw(port, text, then=b"", wait=0.0):
    """What the server answers to bytes as they are; an empty answer where it only hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(text)
        found = b""
        with contextlib.suppress(OSError):
            while then:
                line.sendall(then)
                time.sleep(wait)
        with contextlib.suppress(ConnectionError):
            while part := line.recv(65536):
                found += part
    return found


# ---------------------------------------------------------------------- many at once
def test_fifty_clients_get_what_one_gets(served):
    port, live = served
    sent = [rows(live.loaded.model, range(k, k + 1 + k % 3)) for k in range(10)]

    def ask(k):
        body, right = sent[k % 10]
        status, answer = asked(port, "POST", "/draw", body)
        assert status == 200, answer
        return np.array_equal(np.frombuffer(answer, np.uint8).reshape(right.shape), right)

    with ThreadPoolExecutor(50) as crowd:
        assert all(crowd.map(ask, range(50)))


def test_a_queue_has_an_end_and_one_picture_is_searched_for_at_a_time(served, monkeypatch):
    port, live = served
    going, enough = threading.Event(), threading.Event()

    def slow(*_):
        going.set()
        enough.wait(10)
        return {"found": {}}

    monkeypatch.setattr(finding.Search, "find", slow)
    body, _ = rows(live.loaded.model, [1])
    with ThreadPoolExecutor(1) as other:
        first = other.submit(asked, port, "POST", "/find", picture())
        assert going.wait(10)
        status, text = asked(port, "POST", "/find", picture())
        assert status == 503 and b"already" in text
        assert asked(port, "POST", "/draw", body)[0] == 200  # drawing goes on meanwhile
        enough.set()
        assert first.result()[0] == 200
    monkeypatch.setattr(app, "PICTURES", 0)
    assert asked(port, "POST", "/read", picture())[0] == 503


# ---------------------------------------------------------------------- slow, endless and broken requests
def test_a_slow_body_is_cut_off(served, monkeypatch):
    port, _ = served
    monkeypatch.setattr(app, "SLOWEST", 0.4)
    head = b"POST /draw HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
    begun = time.monotonic()
    answer = raw(port, head + b"Content-Length: 276\r\n\r\n" + b"\0" * 10)
    assert b" 408 " in answer and b"0.4 seconds" in answer
    assert 0.3 < time.monotonic() - begun < 5


@pytest.mark.parametrize("where", ["draw", "read", "find"])
def test_an_endless_body_is_cut_off(where, served, monkeypatch):
    port, _ = served
    monkeypatch.setattr(app, "MOST_BODY", 1 << 12)
    monkeypatch.setattr(app.dropped, "MOST_BYTES", 1 << 20)
    head = (
        f"POST /{where} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
    ).encode()
    pieces = b"10000\r\n" + b"\0" * 65536 + b"\r\n"
    answer = raw(port, head + b"Transfer-Encoding: chunked\r\n\r\n", pieces)
    assert not answer or b" 411 " in answer
    answer = raw(port, head + b"Content-Length: 99999999999\r\n\r\n", b"\0" * 65536)
    assert not answer or b" 413 " in answer


BROKEN = [
    b"\r\n\r\n\r\n\r\n",
    b"GARBAGE\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET http://evil.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n",
    b"POST /draw HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /draw HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40 + b"\r\n\r\n",
    b"GET /../../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
]


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:24])
def test_what_is_not_a_request_is_refused(text, served):
    answer = raw(served[0], text)
    assert (
        answer.startswith(b"HTTP/1.1 4") and b"Traceback" not in answer and b"root:" not in answer
    )
    assert asked(served[0], "GET", "/status")[0] == 200


# ---------------------------------------------------------------------- where it listens
def test_a_taken_port_is_left_alone():
    with server.listen("127.0.0.1", None) as first, server.listen("127.0.0.1", None) as second:
        one, other = first.getsockname()[1], second.getsockname()[1]
        assert one != other and first.proto == socket.IPPROTO_TCP  # else every answer takes 40 ms
        with pytest.raises(UseError, match=f"--port {one} is taken"):
            server.listen("127.0.0.1", one)


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("127.0.0.1", 65536, "from 0 \\(any\\) to 65535"),
        ("127.0.0.1", -1, "from 0 \\(any\\) to 65535"),
        ("no.such.host.invalid", None, "no such address"),
        ("a" * 70, None, "no such address"),
        ("192.0.2.1", None, "not an address of this machine"),
    ],
)
def test_a_place_that_cannot_be_listened_at_is_named(host, port, said):
    with pytest.raises(UseError, match=said):
        server.listen(host, port)


def test_the_command_says_what_is_wrong_in_one_line(tmp_path, capsys, monkeypatch):
    assert command(["explore", str(tmp_path / "nothing"), "--no-open"]) == 2
    assert "there is no run" in capsys.readouterr().err
    assert command(["explore", str(tmp_path), "--no-open"]) == 2
    assert "holds no weights" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert command(["explore", str(tiny.run()), "--no-open"]) == 2
    assert "pip install 'gander[web]'" in capsys.readouterr().err


def test_everywhere_means_every_number_and_this_machine():
    name = socket.gethostname()
    for allowed in ("10.0.0.7", "[fe80::1]", "localhost", name, name.upper()):
        assert Hosts("0.0.0.0").allow(allowed) and Hosts("::").allow(allowed)
    for refused in ("evil.com", "10.0.0.7.evil.com", ""):
        assert not Hosts("0.0.0.0").allow(refused)
    assert Hosts("gan.example").allow("gan.example") and not Hosts("gan.example").allow("10.0.0.7")
    assert guard._host("[::1]:80") == "::1" and guard._host("[::1") is None


def test_others_are_let_in_only_with_a_warning(monkeypatch):
    class Ended:
        def run(self, sockets):
            raise KeyboardInterrupt

    monkeypatch.setattr(server, "prepared", lambda *_: Ended())
    monkeypatch.setattr(server.webbrowser, "open", lambda _: pytest.fail("a browser was opened"))
    for host, warned in (("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)):
        lines = []
        server.explore(tiny.run("gan"), host=host, port=0, browser=False, tell=lines.append)
        assert any("Warning" in line and "password" in line for line in lines) == warned
        assert any("http://" in line for line in lines)


# ---------------------------------------------------------------------- the whole command
@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_ctrl_c_ends_it_at_once_even_while_somebody_is_slow():
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    order = [sys.executable, "-m", "gander", "explore", str(tiny.run()), "--no-open", "--port", "0"]
    with subprocess.Popen(
        order, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        address = next(line for line in child.stdout if "http://" in line)
        port = int(address.partition("127.0.0.1:")[2].partition("/")[0])
        assert asked(port, "GET", "/status")[0] == 200
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"POST /draw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n")
            slow.sendall(b"Content-Type: application/octet-stream\r\n\r\n\0")
            assert asked(port, "GET", "/nothing")[0] == 404
            begun = time.monotonic()
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == 0
            assert time.monotonic() - begun < 8  # less than one, on a machine that is not busy
        assert child.stderr.read() == ""


# ---------------------------------------------------------------------- in a browser
def test_a_dropped_picture_moves_the_knobs_and_is_found(served, tmp_path):
    port, _ = served
    address = f"http://127.0.0.1:{port}/"
    file = tmp_path / "picture.png"
    file.write_bytes(picture())
    right = json.loads(asked(port, "POST", "/read", picture())[1])
    with (
        browser.chromium() as started,
        browser.visit(started, address, own=("http://127.0.0.1", "blob:", "data:")) as seen,
    ):
        page = seen.settled().page
        model = gander.load(tiny.run())
        seen.becomes(browser.as_canvas(model.draw(1, seed=0))[0])
        page.set_input_files("#file", file)
        page.wait_for_selector("#seen[src^='data:']")
        for code in ("c1", "c2", "c3"):
            knob = page.locator(f'input[data-part="{code}"]')
            assert abs(float(knob.input_value()) - right["codes"][code]) < 0.01
        chosen = page.locator('input[data-part="label"]:checked').get_attribute("data-value")
        assert int(chosen) == right["codes"]["label"]
        assert page.locator("#dropped-note").inner_text().split("\n") == right["text"].split("\n")
        read = {k: v if k == "label" else float(f"{v:.4g}") for k, v in right["codes"].items()}
        seen.becomes(browser.as_canvas(model.draw(1, seed=0, **read))[0])
        page.click("#find")
        page.wait_for_selector("#forget:not([hidden])", timeout=browser.WAIT)
        found = model.edit(app.dropped.opened(picture(), model.card.shape)[0])
        seen.becomes(browser.as_canvas(found.reconstruction[None])[0])
        assert page.locator("#dropped-note").inner_text() == found.verdict
        assert page.locator("#status").inner_text() == "Trained on 64 images."


@pytest.mark.slow
def test_a_page_whose_server_has_gone_says_so_and_goes_on_when_it_is_back(tmp_path):
    with browser.chromium() as started:
        context = started.new_context()
        page = context.new_page()
        with running(tiny.run("gan")) as (port, _):
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_selector("body[data-drawn]", timeout=browser.WAIT)
            file = tmp_path / "picture.png"
            file.write_bytes(picture())
            page.set_input_files(
                "#file", file
            )  # a plain GAN has no codes to read: its noise is found
            page.wait_for_selector("#forget:not([hidden])", timeout=browser.WAIT)
        page.click("#another")
        page.wait_for_selector("#status:has-text('has stopped')", timeout=browser.WAIT)
        listener = server.listen("127.0.0.1", port)
        made = server.prepared(Live(tiny.run("gan")), "127.0.0.1")
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]})
        thread.start()
        page.wait_for_selector("#status:has-text('Trained on')", timeout=browser.WAIT)
        made.should_exit = True
        thread.join(10)
        listener.close()
        context.close()
