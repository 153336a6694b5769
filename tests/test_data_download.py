"""Downloads from a server on this machine: mirrors, checksums, and nothing half written."""

import hashlib
import http.server
import threading

import pytest

from gander.data import load, mnist
from gander.data.reading import download
from gander.data.reading.download import fetch
from gander.errors import DataError

GOOD = bytes(range(256)) * 400
MD5 = "md5:" + hashlib.md5(GOOD, usedforsecurity=False).hexdigest()
SHA = "sha256:" + hashlib.sha256(GOOD).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """/good serves the file, /bad another one, /cut breaks off, anything else is not there."""

    def do_GET(self):
        folder = self.path.split("/")[1]
        self.server.asked.append(self.path)
        if folder not in ("good", "bad", "cut"):
            self.send_error(404)
            return
        body = GOOD if folder != "bad" else b"an error page in disguise"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if folder == "cut" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        running.base = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("checksum", [MD5, SHA])
def test_a_good_mirror_serves_and_is_asked_once(server, tmp_path, checksum):
    for _ in range(2):
        folder = fetch(
            "set", ["f.gz"], [f"{server.base}/good"], {"f.gz": checksum}, tmp_path / "set"
        )
        assert (folder / "f.gz").read_bytes() == GOOD
    assert server.asked == ["/good/f.gz"]
    assert [path.name for path in folder.iterdir()] == ["f.gz"]


@pytest.mark.parametrize("first", ["bad", "cut", "absent"])
def test_the_next_mirror_is_tried(server, tmp_path, first):
    urls = [f"{server.base}/{first}", f"{server.base}/good/"]
    fetch("set", ["f.gz"], urls, {"f.gz": MD5}, tmp_path)
    assert server.asked == [f"/{first}/f.gz", "/good/f.gz"]
    assert (tmp_path / "f.gz").read_bytes() == GOOD and len(list(tmp_path.iterdir())) == 1


def test_when_all_fail_the_message_says_what_was_tried_and_what_to_do(server, tmp_path):
    urls = [f"{server.base}/{place}" for place in ("bad", "cut", "absent")]
    urls.append("http://127.0.0.1:9")
    with pytest.raises(DataError) as caught:
        fetch("some-set", ["f.gz"], urls, {"f.gz": MD5}, tmp_path)
    text = str(caught.value)
    assert all(f"{url}/f.gz: " in text for url in urls)
    assert "checksum differs" in text and "404" in text and "connection refused" in text
    assert "$GANDER_DATA/some-set/" in text
    assert not list(tmp_path.iterdir())


def test_an_interrupted_download_leaves_nothing(server, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.Progress, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("set", ["f.gz"], [f"{server.base}/good"], {"f.gz": MD5}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_in_the_cache_is_fetched_again(server, tmp_path):
    (tmp_path / "f.gz").write_bytes(GOOD[:-1])
    fetch("set", ["f.gz"], [f"{server.base}/good"], {"f.gz": SHA}, tmp_path)
    assert (tmp_path / "f.gz").read_bytes() == GOOD


def test_a_source_without_files_or_network_says_so_once(server, tmp_path, monkeypatch):
    monkeypatch.delenv("GANDER_DATA", raising=False)
    monkeypatch.setenv("GANDER_CACHE", str(tmp_path))
    monkeypatch.setattr(mnist, "URLS", (f"{server.base}/absent",))
    with pytest.raises(DataError, match=r"GANDER_DATA/mnist/"):
        load("mnist")
