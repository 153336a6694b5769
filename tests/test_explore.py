"""gander explore: its answers are the model's own, it follows a run that trains, and it lives through whatever is sent."""

import base64
import io
import json
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

import explored
import gander
import pages
import tiny
from explored import BODY, asked, picture, pixels, post, rows
from gander import runs, weights
from gander.errors import RunError
from gander.explore import app, dropped, finding
from gander.explore.live import Live, _training

PRESETS = ("gan", "cgan", "acgan", "infogan", "acgan-infogan")


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory):
    """A folder of weights with codes of every kind and a critic that reads them, in colour and not square."""
    model = pages.model(pages.every_kind(), shape=(3, 16, 20))
    critic = model.card.build_critic()
    folder = tmp_path_factory.mktemp("kinds")
    facts = {"card": model.card.to_dict(), "images_seen": 1234}
    for name, network in (("generator", model.generator), ("critic", critic)):
        weights.write(folder / f"{name}.safetensors", dict(network.state_dict()), facts)
    return folder


@pytest.fixture(scope="module")
def reader():
    return asked(tiny.run())


# ---------------------------------------------------------------------- its answers
@pytest.mark.parametrize("preset", PRESETS)
def test_a_drawing_is_the_models_own_bit_for_bit(preset):
    live, browser = asked(tiny.run(preset))
    model = gander.load(tiny.run(preset))
    for seeds in ([5], range(33), range(app.most_images(model))):
        sent, right = rows(model, seeds)
        assert np.array_equal(pixels(post(browser, "/draw", sent), right), right)
        assert np.array_equal(
            pixels(post(browser, f"/draw?codes={live.loaded.codes}", sent), right), right
        )


def test_codes_of_every_kind_are_drawn_and_read(every_kind):
    browser = asked(every_kind)[1]
    model = gander.load(every_kind)
    sent, right = rows(model, range(40))
    assert np.array_equal(pixels(post(browser, "/draw", sent), right), right)
    told = post(browser, "/read", picture()).json()
    lines = told["text"].splitlines()
    assert [line.split()[0] for line in lines[: len(pages.KINDS)]] == list(pages.KINDS)
    assert set(told["codes"]) == {"digit", "category", "slant"} | {
        f"{code}.{k}"
        for code, size in (("style", 2), ("mood", 2), ("on", 3), ("turn", 2))
        for k in range(size)
    }


@pytest.mark.parametrize("preset", ["acgan", "infogan", "acgan-infogan"])
@pytest.mark.parametrize("kind", dropped.FORMATS)
def test_a_reading_is_the_models_own(preset, kind, tmp_path):
    browser = asked(tiny.run(preset))[1]
    model = gander.load(tiny.run(preset))
    content = picture((50, 31), kind)
    told = post(browser, "/read", content).json()
    head, _, data = told["seen"].partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as seen:
        fitted = torch.from_numpy(np.array(seen.convert("L")))[None, None]
    file = tmp_path / f"picture.{kind.lower()}"
    file.write_bytes(content)
    assert torch.equal(fitted, gander.reading.load_fitting(model, str(file)).images)
    for name, said in model.read(fitted).items():
        code = model.spec.code(name)
        choice = code.resolved.name == "categorical"
        assert told["codes"][name] == (int(said.argmax()) if choice else said.item())
        assert f"{name} " in told["text"] and ("%)" if choice else "±") in told["text"]


def test_upright_and_in_the_models_channels(reader):
    content = picture((50, 31), "JPEG", quality=100, subsampling=0)
    turned = Image.open(io.BytesIO(content)).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright
    buffer = io.BytesIO()
    turned.save(buffer, "PNG", exif=exif)
    upright = post(reader[1], "/read", content).json()
    assert post(reader[1], "/read", buffer.getvalue()).json()["seen"] == upright["seen"]
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        assert post(reader[1], "/read", picture(mode=mode)).status_code == 200


@pytest.mark.parametrize("light", [0, 255])
def test_a_picture_the_other_way_round_is_told_so(light, monkeypatch):
    live, browser = asked(tiny.run())
    drawn = (200.0, 250.0) if light == 0 else (5.0, 40.0)
    monkeypatch.setattr(type(live.loaded), "brightness", drawn)
    buffer = io.BytesIO()
    Image.new("L", (20, 20), abs(light - 20)).save(buffer, "PNG")
    assert "inverted" in post(browser, "/read", buffer.getvalue()).json()["text"]
    Image.new("L", (20, 20), int(drawn[0]) + 1).save(buffer := io.BytesIO(), "PNG")
    assert "inverted" not in post(browser, "/read", buffer.getvalue()).json()["text"]


@pytest.mark.parametrize("preset", ["gan", "cgan", "acgan-infogan"])
def test_what_is_found_is_the_models_own_edit(preset):
    browser = asked(tiny.run(preset))[1]
    model = gander.load(tiny.run(preset))
    told = post(browser, "/find", picture()).json()
    right = model.edit(dropped.opened(picture(), model.card.shape)[0])
    assert told["found"] == {n: v.flatten().tolist() for n, v in right.values.items()}
    assert told["text"] == right.verdict and told["seen"].startswith("data:image/png")


def test_a_search_has_an_end(monkeypatch, reader):
    monkeypatch.setattr(finding, "LONGEST", -1.0)
    answer = post(reader[1], "/find", picture())
    assert answer.status_code == 503 and "gander edit" in answer.text
    live, browser = asked(tiny.run())
    live.stopped.set()
    for where, body in (("/find", picture()), ("/draw", rows(live.loaded.model, [0])[0])):
        answer = post(browser, where, body)
        assert answer.status_code == 503 and "ending" in answer.text


@pytest.mark.parametrize("preset", ["gan", "cgan"])
def test_a_model_that_cannot_read_says_why(preset):
    browser = asked(tiny.run(preset))[1]
    answer = post(browser, "/read", picture())
    assert answer.status_code == 409 and "no recogniser" in answer.text
    assert facts(browser)["server"]["read"] is False and facts(browser)["server"]["find"] is True


def facts(browser):
    """What the page knows."""
    page = browser.get("/").text
    return json.loads(page.partition('id="model">')[2].partition("</script>")[0])


def test_the_page_knows_what_the_server_can_and_carries_no_generator(reader):
    live, browser = reader
    page = browser.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert facts(browser)["server"] == {
        "most": 256,
        "pass": 32,
        "codes": live.loaded.codes,
        "read": True,
        "find": True,
    }
    assert len(page.content) < 100_000


# ---------------------------------------------------------------------- a run that trains
def test_new_weights_are_drawn_and_a_broken_file_is_not(tmp_path):
    run = tmp_path / "run"
    tiny.train("infogan", out=run, steps=2)
    browser = asked(run)[1]
    before = browser.get("/status").json()
    assert before == {"images_seen": 32, "text": "Trained on 32 images."}
    tiny.train("infogan", out=run, steps=4)
    after = browser.get("/status").json()
    assert after["images_seen"] == 64
    sent, right = rows(gander.load(run), range(3))
    assert np.array_equal(pixels(post(browser, "/draw", sent), right), right)
    weights = next((run / "weights").glob("[ag]*"))  # averaged, where there is one
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    broken = browser.get("/status").json()
    assert broken["images_seen"] == 64 and "the old ones draw" in broken["text"]
    assert np.array_equal(pixels(post(browser, "/draw", sent), right), right)
    weights.write_bytes(whole)
    assert browser.get("/status").json()["text"] == "Trained on 64 images."


def test_names_are_taken_over_by_the_next_page(tmp_path):
    run = shutil.copytree(tiny.run("infogan"), tmp_path / "run")
    browser = asked(run)[1]
    assert [c["label"] for c in facts(browser)["codes"]][2] == "c1"
    said = {"schema": 1, "codes": {"c1": {"name": "slant"}}, "found": {}}
    (run / "names.json").write_text(json.dumps(said))
    assert [c["label"] for c in facts(browser)["codes"]][2] == "slant"
    assert "slant " in post(browser, "/read", picture()).json()["text"]


def test_a_page_made_for_other_codes_is_asked_to_load_again(tmp_path):
    run = shutil.copytree(tiny.run("infogan"), tmp_path / "run")
    live, browser = asked(run)
    old = live.loaded.codes
    sent, _ = rows(live.loaded.model, [0])
    shutil.rmtree(run)
    shutil.copytree(tiny.run("acgan"), run)
    assert "reload this page" in browser.get(f"/status?codes={old}").json()["text"]
    for where, body in (("/draw", sent), ("/read", picture()), ("/find", picture())):
        answer = post(browser, f"{where}?codes={old}", body)
        assert answer.status_code == 409 and "reload this page" in answer.text
    assert facts(browser)["server"]["codes"] != old


def test_a_run_in_training_says_how_far_it_is(tmp_path):
    run = shutil.copytree(tiny.run("acgan-infogan"), tmp_path / "run")
    browser = asked(run)[1]
    assert browser.get("/status").json()["text"] == "Trained on 64 images."
    assert not runs.Run(run).is_held
    with runs.Run(run).held():
        assert runs.Run(run).is_held
        text = browser.get("/status").json()["text"]
    assert text.startswith("Training: 64 of 64 images seen, ") and " of 1.39 nats" in text
    assert "c1 R² " in text and "images/s" in text
    assert browser.get("/status").json()["text"] == "Trained on 64 images."
    log = runs.Run(run)
    log.append("log.jsonl", {"images_seen": 96, "alarms": ["collapse", "dead_code/c1"]})
    text = browser.get("/status").json()["text"]  # another machine, sharing the folder
    assert text.startswith("Training: 96") and "weights at 64" in text
    assert "the samples have collapsed" in text and "code c1 is dead" in text


@pytest.mark.parametrize("line", [{}, {"images_seen": "x"}, {"images_seen": 9, "alarms": 3}])
def test_a_strange_log_is_no_harm(line, reader):
    assert _training(reader[0].loaded.model, line, None).startswith("Training: ")


def test_a_run_without_weights_is_said_to_have_none(tmp_path):
    run = shutil.copytree(tiny.run("infogan"), tmp_path / "run")
    shutil.rmtree(run / "weights")
    with pytest.raises(RunError, match="no weights yet"):
        Live(run)
    with runs.Run(run).held(), pytest.raises(RunError, match="just begun to train"):
        Live(run)
    with pytest.raises(RunError, match="there is no run"):
        Live(tmp_path / "nothing")


def test_one_file_of_weights_is_enough(tmp_path):
    file = shutil.copy(runs.Run(tiny.run("infogan")).weights_file("generator"), tmp_path)
    browser = asked(file)[1]
    sent, right = rows(gander.load(file), range(2))
    assert np.array_equal(pixels(post(browser, "/draw", sent), right), right)
    assert facts(browser)["server"]["read"] is False
    assert browser.get("/status").json()["text"] == "Trained on 64 images."
    assert "only the generator" in post(browser, "/read", picture()).text


# ---------------------------------------------------------------------- what nobody should send
def numbers(count, value=0.5):
    return np.full(count, value, "<f4").tobytes()


def bomb():
    """A PNG of 30,000 x 30,000 pixels that would unpack to 900 MB."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_000))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def large():
    buffer = io.BytesIO()
    Image.new("1", (7500, 7000)).save(buffer, "PNG")
    return buffer.getvalue()


W = 62 + 4 + 3  # numbers an image of the tiny acgan-infogan
HOSTILE_BODIES = [
    *[("/draw", body) for body in (b"", b"x", numbers(1), numbers(W - 1), numbers(W + 1))],
    *[("/draw", body) for body in (numbers(W)[:-1], numbers(W * 257), numbers(W * 3)[:-4])],
    *[("/draw", numbers(W, bad)) for bad in (np.nan, np.inf, -np.inf)],
    *[("/draw", body) for body in (numbers(W * 2)[:-4] + b"\0\0\xc0\x7f", b"[0.5, 0.5]")],
    *[("/draw", body) for body in (numbers(W * 100_000), b"\0" * (4 * W * 256 + 1), picture())],
    *[
        (where, body)
        for where in ("/read", "/find")
        for body in (b"", b"\0", b"hello", b"\xff" * 99)
    ],
    *[(where, body) for where in ("/read", "/find") for body in (bomb(), large())],
    *[
        ("/read", picture(kind=kind)[: len(picture(kind=kind)) // 2])
        for kind in ("PNG", "GIF", "WEBP", "BMP")
    ],
    *[("/read", picture((300, 300), kind)[:-900]) for kind in ("PNG", "JPEG", "BMP")],
    ("/read", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>"),
    ("/read", b"\x89PNG\r\n\x1a\n" + b"\0" * 100),
    ("/read", b"GIF89a" + b"\xff" * 100),
    ("/read", b"BM" + b"\xff" * 100),
    ("/read", picture(kind="TIFF")),
    ("/read", picture(kind="PPM")),
    ("/read", b"\0" * 20_000_001),
    ("/find", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"),
]
HOSTILE_HEADERS = [
    *[{"Host": host} for host in ("evil.com", "evil.com:8000", "127.0.0.1.evil.com", "")],
    *[{"Host": host} for host in ("127.0.0.1@evil.com", "localhost.evil.com", "192.168.0.7:8000")],
    *[
        {"Host": host}
        for host in ("127.0.0.1:8000:1", "127.0.0.1:x", "[::1", "loc\xe4lhost", "a/b")
    ],
    *[{"Origin": o} for o in ("http://evil.com", "null", "", "http://localhost:9999", "file://")],
    *[
        {"Origin": o}
        for o in ("http://127.0.0.1:8000.evil.com", "http://127.0.0.1", "x", "http://[")
    ],
    *[{"Content-Type": t} for t in ("text/plain", "", "multipart/form-data; boundary=x")],
    *[{"Content-Type": t} for t in ("application/x-www-form-urlencoded", "application/json")],
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
PATHS = [
    *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd"),
    *(
        "/static/../config.toml",
        "/config.toml",
        "/weights/generator.safetensors",
        "/draw/",
        "/read/x",
    ),
    *(
        "/%00",
        "/index.html",
        "/favicon.ico",
        "/status/",
        "/C:\\windows",
        "/" + "a" * 5000,
        "/draw%00",
    ),
]


def assert_refused(answer, statuses):
    assert answer.status_code in statuses, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.strip() and "\n" not in answer.text.strip() and len(answer.text) < 400
    assert "Traceback" not in answer.text and ".py" not in answer.text
    careful(answer)


def careful(answer):
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.fixture
def unhurt(reader):
    """The application, which must draw as before after whatever a test has sent it."""
    yield reader[1]
    sent, right = rows(reader[0].loaded.model, [3])
    assert np.array_equal(pixels(post(reader[1], "/draw", sent), right), right)


def test_there_is_enough_to_fear(reader):
    assert len(HOSTILE_BODIES) + len(HOSTILE_HEADERS) + len(PATHS) >= 40
    assert sum(code.resolved.width for code in reader[0].loaded.model.spec.codes) == W


@pytest.mark.parametrize(
    ("where", "body"), HOSTILE_BODIES, ids=lambda one: one if isinstance(one, str) else len(one)
)
def test_a_hostile_body_gets_one_line(where, body, unhurt):
    assert_refused(post(unhurt, where, body), (400, 413))


@pytest.mark.parametrize("where", ["/draw", "/read", "/find"])
@pytest.mark.parametrize("headers", HOSTILE_HEADERS, ids=str)
def test_a_stranger_gets_one_line(headers, where, unhurt):
    raw = [(k.encode(), v.encode("latin-1")) for k, v in (BODY | headers).items()]
    assert_refused(unhurt.post(where, content=numbers(W), headers=raw), (403, 415))
    if "Host" in headers:
        for path in ("/", "/status", "/nothing"):
            assert_refused(unhurt.get(path, headers=raw), (403,))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:30])
def test_there_is_nothing_else(path, unhurt):
    assert_refused(unhurt.get(explored.HERE + path, follow_redirects=False), (404,))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "POST", "GET"])
@pytest.mark.parametrize("path", ["/", "/status", "/draw", "/read", "/find"])
def test_a_wrong_method_is_told_the_right_one(method, path, unhurt):
    right = "GET" if path in ("/", "/status") else "POST"
    if method == right:
        return
    answer = unhurt.request(method, path, headers=BODY)
    assert_refused(answer, (405,))
    assert right in answer.headers["allow"] and right in answer.text


@pytest.mark.parametrize("error", [ValueError("secret"), SafetensorError("/home/x"), KeyError("y")])
def test_what_nobody_expected_is_said_in_the_terminal_alone(error, unhurt, monkeypatch, capsys):
    def fail(*_):
        raise error

    sent = numbers(W)
    with monkeypatch.context() as changed:
        changed.setattr(gander.Model, "render_told", fail)
        assert_refused(post(unhurt, "/draw", sent), (500,))
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1:9", "[::1]:8000", "LOCALHOST:80"])
def test_this_machine_may_be_called_by_its_names(name, unhurt):
    headers = {"Host": name, "Origin": f"http://{name.lower()}"}
    assert post(unhurt, "/draw", numbers(W), **headers).status_code == 200
    answer = unhurt.get("/", headers={"Host": name})
    assert answer.status_code == 200
    careful(answer)
