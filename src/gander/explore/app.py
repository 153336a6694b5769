"""The answers of ``gander explore``: a Starlette application around a model that may still be training.

It serves one page and four questions of that page, and reads no file that a request could name. Every refusal is one line of text.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import torch
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gander.errors import DataError, GanderError
from gander.explore import dropped, finding, page
from gander.explore.finding import GivenUp
from gander.explore.guard import SLOWEST, Guard, Hosts
from gander.explore.live import Live, Loaded
from gander.model import CHUNK, Model

MOST = 256  # images in one request
MOST_PIXELS = 1 << 25  # bytes of one answer
MOST_BODY = 1 << 24  # bytes of one request to draw
MOST_UNSENT = 1 << 27  # bytes of answers that nobody has taken yet
WAITING = 64  # jobs in the queue to be drawn
PICTURES = 4  # pictures that are received, read or searched for at one time
Answer = TypeVar("Answer")


class Bench:
    """One thread in which jobs are done one at a time, and a queue before it that has an end."""

    def __init__(self, most: int, busy: str) -> None:
        self.thread = ThreadPoolExecutor(1)
        self.most, self.busy = most, busy
        self.waiting = 0

    async def do(self, job: Callable[..., Answer], *given: Any) -> Answer:
        """What the job gives, once it has had its turn; refused with 503 where the queue is full."""
        if self.waiting >= self.most:
            raise HTTPException(503, self.busy)
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.thread, job, *given)
        finally:
            self.waiting -= 1


def make(live: Live, hosts: Hosts, unsent: Callable[[], int] = lambda: 0) -> Guard:
    """The application; ``hosts`` are the names by which it may be called, ``unsent`` the bytes that wait to be taken."""
    explorer = Explorer(live, unsent)
    routes = [
        Route("/", explorer.page, methods=["GET"]),
        Route("/status", explorer.status, methods=["GET"]),
        Route("/draw", explorer.draw, methods=["POST"]),
        Route("/read", explorer.read, methods=["POST"]),
        Route("/find", explorer.find, methods=["POST"]),
    ]
    handlers: Mapping[Any, Any] = {
        HTTPException: _refused,
        GanderError: _explained,
        GivenUp: _given_up,
        Exception: _broken,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Guard(app, hosts)


# ---------------------------------------------------------------------- when something is wrong
async def _refused(request: Request, error: HTTPException) -> Response:
    about = {
        404: "there is nothing here; this server has /, /status, /draw, /read and /find.",
        405: f"{request.url.path} is asked by {(error.headers or {}).get('Allow', 'GET')}, not by {request.method[:20]}.",
    }
    text = about.get(error.status_code, error.detail)
    return PlainTextResponse(text, error.status_code, error.headers)


async def _explained(request: Request, error: GanderError) -> Response:
    return PlainTextResponse(" ".join(str(error).split()), 400)


async def _given_up(request: Request, error: GivenUp) -> Response:
    return PlainTextResponse(str(error), 503)


async def _broken(request: Request, error: Exception) -> Response:
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return PlainTextResponse("there is not enough memory for this; ask for less at once.", 503)
    traceback.print_exception(error, file=sys.stderr)
    return PlainTextResponse("something went wrong here; see the terminal.", 500)


# ---------------------------------------------------------------------- the answers
class Explorer:
    """What is answered to each question."""

    def __init__(self, live: Live, unsent: Callable[[], int]) -> None:
        self.live = live
        self.unsent = unsent
        self.bench = Bench(WAITING, f"{WAITING} jobs are waiting already; ask again soon.")
        self.search = Bench(1, "one picture is being searched for already; try again soon.")
        self.pictures = 0

    async def page(self, request: Request) -> Response:
        """The page, for the model and the names as they are now."""
        self._refuse_untaken()
        return HTMLResponse(await self.bench.do(self._document))

    def _document(self) -> bytes:
        loaded = self.live.refresh()
        can = {
            "most": most_images(loaded.model),
            "pass": CHUNK,
            "codes": loaded.codes,
            "read": reads(loaded.model),
            "find": finding.can_find(loaded.model),
        }
        return page.document(loaded.model, self.live.folder, can)

    async def status(self, request: Request) -> Response:
        """Where the run stands; this is also when new weights are noticed."""
        loaded = self.live.loaded
        with suppress(HTTPException):  # the queue is full: the next question will do
            loaded = await self.bench.do(self.live.refresh)
        status = self.live.status()
        text = status.text if _same(request, loaded) else _anew()
        return JSONResponse({"images_seen": status.images_seen, "text": text})

    async def draw(self, request: Request) -> Response:
        """Encodings, little-endian float32 (n, W) -> pixels, uint8 (n, H, W, C)."""
        loaded = self._asked(request)
        model = loaded.model
        row = 4 * sum(_widths(model))
        body = await received(request, row * most_images(model), _wanted(model))
        told = encodings(model, body)
        self._refuse_untaken()
        drawn = await self.bench.do(self._drawn, model, told)
        self._refuse_untaken()  # others were drawn meanwhile
        return Response(drawn, media_type="application/octet-stream")

    def _refuse_untaken(self) -> None:
        """An answer that is not taken stays in memory; of many such answers there is an end."""
        if self.unsent() > MOST_UNSENT:
            raise HTTPException(
                503, "too many answers wait to be taken; take them, or ask again soon."
            )

    def _drawn(self, model: Model, told: torch.Tensor) -> bytes:
        images = []
        for first in range(0, len(told), CHUNK):  # the end of the server can come between passes
            if self.live.stopped.is_set():
                raise GivenUp("the server is ending.")
            parts = torch.split(told[first : first + CHUNK], _widths(model), dim=1)
            names = [code.name for code in model.spec.codes]
            images.append(model.render_told(dict(zip(names, parts, strict=True))))
        return torch.cat(images).permute(0, 2, 3, 1).contiguous().numpy().tobytes()

    async def read(self, request: Request) -> Response:
        """An image file -> the codes read in it, and the picture as the model sees it."""
        loaded = self._asked(request)
        try:
            loaded.model.reader()
        except GanderError as error:
            raise HTTPException(409, str(error)) from None
        return JSONResponse(await self._of_picture(request, self.bench, dropped.read, loaded))

    async def find(self, request: Request) -> Response:
        """An image file -> the values of every code with which the model draws it, as nearly as it can."""
        loaded = self._asked(request)
        if not finding.can_find(loaded.model):
            raise HTTPException(
                409, "all codes of this model are choices, between which there is no way to search."
            )
        find = finding.Search(self.live.stopped).find
        return JSONResponse(await self._of_picture(request, self.search, find, loaded))

    async def _of_picture(
        self,
        request: Request,
        bench: Bench,
        job: Callable[[Loaded, torch.Tensor], dict[str, Any]],
        loaded: Loaded,
    ) -> dict[str, Any]:
        if self.pictures >= PICTURES:
            raise HTTPException(503, f"{PICTURES} pictures are being read already; try again soon.")
        self.pictures += 1
        try:
            body = await received(request, dropped.MOST_BYTES, "give a picture of at most 20 MB")
            shape = loaded.model.card.shape
            return await bench.do(lambda: job(loaded, dropped.opened(body, shape)))
        finally:
            self.pictures -= 1

    def _asked(self, request: Request) -> Loaded:
        """The model, if it is the one that the page was made for."""
        loaded = self.live.loaded
        if not _same(request, loaded):
            raise HTTPException(409, _anew())
        return loaded


def _same(request: Request, loaded: Loaded) -> bool:
    return request.query_params.get("codes", loaded.codes) == loaded.codes


def _anew() -> str:
    return "The run now has other codes or images of another shape: reload this page."


def reads(model: Model) -> bool:
    return bool(model.spec.recognised) and model.critic is not None


# ---------------------------------------------------------------------- what is asked
def _widths(model: Model) -> list[int]:
    return [code.resolved.width for code in model.spec.codes]


def most_images(model: Model) -> int:
    """How many images may be asked for at once: what is sent and what is answered stay small."""
    channels, height, width = model.card.shape
    row = 4 * sum(_widths(model))
    return max(1, min(MOST, MOST_PIXELS // (channels * height * width), MOST_BODY // row))


def encodings(model: Model, body: bytes) -> torch.Tensor:
    """The body of a request to draw as (n, W) float32. Raises ``DataError``."""
    width, valid = sum(_widths(model)), _wanted(model)
    if not body or len(body) % (4 * width):
        raise DataError(
            f"{len(body):,} bytes were given, which is no whole number of images; {valid} ({4 * width:,} bytes an image)."
        )
    rows = np.frombuffer(body, "<f4").reshape(-1, width).astype(np.float32)
    wrong = int((~np.isfinite(rows)).sum())
    if wrong:
        raise DataError(f"{wrong:,} of the numbers given are not finite; {valid}.")
    return torch.from_numpy(rows)


def _wanted(model: Model) -> str:
    width = sum(_widths(model))
    return f"give from 1 to {most_images(model)} rows of {width} little-endian float32 numbers"


async def received(request: Request, most: int, valid: str) -> bytes:
    """The whole body, which may neither be larger than ``most`` bytes, whatever its header says, nor come for ever."""
    close = {"Connection": "close"}  # what is still to come will not be read
    large = HTTPException(413, f"more than {most:,} bytes were sent; {valid}.", close)
    declared = request.headers.get("content-length", "0")
    if len(declared) > 15 or int(declared) > most:
        raise large
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise large
    except TimeoutError:
        raise HTTPException(
            408, f"the request was not whole after {SLOWEST:g} seconds; send it faster.", close
        ) from None
    except ClientDisconnect:
        raise HTTPException(400, "the request was cut off.", close) from None
    return bytes(body)
