"""What the tests of the server ask it: an application around a run, and pictures as files."""

import io

import numpy as np
import torch
from PIL import Image
from starlette.testclient import TestClient

from gander.explore import app
from gander.explore.guard import Hosts
from gander.explore.live import Live

BODY = {"Content-Type": "application/octet-stream"}
HERE = "http://127.0.0.1:8000"


def client(live):
    """A browser's view of the application, without a network; what goes wrong inside is answered as it would be."""
    return TestClient(app.make(live, Hosts("127.0.0.1")), HERE, raise_server_exceptions=False)


def asked(place):
    """The live model of a run and a client that asks it."""
    live = Live(place)
    return live, client(live)


def post(browser, where, body, **headers):
    return browser.post(where, content=body, headers=BODY | headers)


def rows(model, seeds):
    """Encodings of some seeds as the page sends them, and the drawings that must come back, (n, H, W, C)."""
    told = model.spec.encode(model.values(seeds))
    sent = torch.cat([told[code.name] for code in model.spec.codes], 1).numpy().astype("<f4")
    return sent.tobytes(), model.render_told(told).permute(0, 2, 3, 1).numpy()


def pixels(answer, like):
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, np.uint8).reshape(like.shape)


def picture(size=(40, 30), kind="PNG", mode="RGB", **options):
    """A picture of gray slopes as a file's bytes."""
    width, height = size
    slope = np.add.outer(np.arange(height) * 3, np.arange(width) * 2) % 256
    buffer = io.BytesIO()
    Image.fromarray(slope.astype(np.uint8)).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()
