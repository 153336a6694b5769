"""The valid inputs that fuzzing begins with: small files as gander and others write them."""

import gzip
import io
import json
import struct
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from fuzz.bundle import packed
from gander.codes import CodeSpec
from gander.config import load, to_toml
from gander.model import Card
from gander.names import Called, Names

SIDE = 6  # pixels of the pictures
SCHEMA = 2  # of weight files and runs; the last that is read without a checksum
LINE = "noise:gaussian(4) digit:given,shown,recognised c1:uniform,recognised=0.1,scored=profile"
OWN = "noise:gaussian(3) turn:circular,recognised=1 kind:categorical(3),recognised=1 lit:binary(2),recognised=0.5"


def pixels(count=4, channels=1, seed=0):
    """(count, SIDE, SIDE, channels) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, channels), np.uint8)


def image(form="PNG", mode="L", seed=0, **options):
    """One picture as a file of a format."""
    bands = {"1": 1, "L": 1, "P": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "I;16": 2, "F": 4}[
        mode
    ]
    shown = (
        Image.frombytes(mode, (SIDE, SIDE), pixels(1, bands, seed)[0].tobytes())
        if mode not in ("1", "F")
        else None
    )
    if shown is None:
        shown = Image.fromarray(pixels(1, 1, seed)[0, :, :, 0]).convert(mode)
    buffer = io.BytesIO()
    shown.save(buffer, form, **options)
    return buffer.getvalue()


@cache
def every_image():
    """Name -> a picture in every format that is read, in the modes that take a path of their own."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    frames = [Image.fromarray(one[:, :, 0]) for one in pixels(3)]
    return {
        "gray.png": image(),
        "colour.png": image(mode="RGB", exif=exif.tobytes()),
        "clear.png": image(mode="RGBA"),
        "clear-gray.png": image(mode="LA"),
        "key.png": image(mode="L", transparency=3),
        "bits.png": image(mode="1"),
        "deep.png": image(mode="I;16"),
        "palette.png": image(mode="P"),
        "jpeg.jpg": image("JPEG", "RGB", exif=exif.tobytes()),
        "cmyk.jpg": image("JPEG", "CMYK"),
        "progressive.jpg": image("JPEG", progressive=True),
        "bmp.bmp": image("BMP", "RGB"),
        "palette.bmp": image("BMP", "P"),
        "gif.gif": image("GIF", "P", transparency=0),
        "film.gif": image("GIF", save_all=True, append_images=frames),
        "webp.webp": image("WEBP", "RGBA", lossless=True),
        "webp-lossy.webp": image("WEBP", "RGB"),
        "tiff.tif": image("TIFF"),
        "lzw.tif": image("TIFF", "RGB", compression="tiff_lzw"),
        "deflate.tif": image("TIFF", "CMYK", compression="tiff_adobe_deflate"),
        "deep.tif": image("TIFF", "I;16"),
        "fraction.tif": image("TIFF", "F"),
        "ppm.ppm": image("PPM", "RGB"),
        "plain.pgm": b"P2\n# gray\n3 2\n255\n0 1 2\n253 254 255\n",
        "ico.ico": image("ICO", "RGBA"),
        "jp2.jp2": image("JPEG2000", "RGB"),
        "avif.avif": image("AVIF", "RGB"),
    }


# ---------------------------------------------------------------------- arrays
def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npzs():
    labels, names = np.array([0, 1, 1, 0]), np.array(["cat", "dog", "dog", ""])
    marks = np.array([[0, 1], [1, 1], [0, 0], [1, 0]], np.uint8)
    plain, packed_arrays = io.BytesIO(), io.BytesIO()
    np.savez(plain, images=pixels(), label=labels, slant=np.array([0.5, -1, np.nan, 2]))
    np.savez_compressed(packed_arrays, images=pixels(4, 3), names=names, marks=marks)
    turned, alone = io.BytesIO(), io.BytesIO()
    np.savez(
        turned, images=pixels(4, 3).transpose(0, 3, 1, 2), weight=np.arange(4, dtype=np.float16)
    )
    np.savez(alone, x=pixels(205)[:, :4, :4, 0], y=np.arange(205))
    return [one.getvalue() for one in (plain, packed_arrays, turned, alone)]


def npys():
    fortran = np.asfortranarray(pixels(4, 3))
    return [npy(pixels()), npy(pixels(4, 3)), npy(fortran), npy(pixels(201)[:, :4, :4, 0])]


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def idxs():
    shown, classes = idx(pixels()[:, :, :, 0]), idx(np.array([0, 1, 2, 1], np.uint8))
    name, label = "set-images-idx3-ubyte", "set-labels-idx1-ubyte"
    zipped = {
        f"{name}.gz": gzip.compress(shown, 1, mtime=0),
        f"{label}.gz": gzip.compress(classes, 1, mtime=0),
    }
    return [packed({name: shown, label: classes}), packed(zipped), packed({name: shown})]


# ---------------------------------------------------------------------- folders
TABLE = (
    b"file,class,slant,marks\na/1.png,cat,0.5,red;round\na/2.png,dog,-1,round\nb/3.png,cat,nan,;\n"
)


def folders():
    some = {
        "a/1.png": image(),
        "a/2.png": image(seed=1),
        "b/3.png": image(mode="RGB"),
        "b/4.png": image(seed=2),
    }
    split = {
        "train/x/1.png": image(),
        "train/y/2.png": image(),
        "test/x/3.png": image(),
        "val/y/4.png": image(),
    }
    mixed = {
        "1.gif": image("GIF"),
        "2.jpg": image("JPEG"),
        "3.bmp": image("BMP"),
        ".hidden.png": b"",
        "read.me": b"x",
    }
    linked = {**some, "b/5.png@link": b"../a/1.png", "c@link": b"a"}
    tables = {**mixed, "labels.csv": b"image;number\n1.gif;1\n2;2.5\n3.bmp;\n"}
    return [some, {**some, "labels.csv": TABLE}, split, tables, linked]


def zipped(files, way=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, way)
    return buffer.getvalue()


def zips():
    flat = [{k: v for k, v in files.items() if "@" not in k} for files in folders()]
    return [zipped(files) for files in flat] + [zipped(flat[1], zipfile.ZIP_DEFLATED)]


def tars():
    """Shards as others pack them: images, classes, facts."""
    made = []
    for facts in ({}, {"json": b'{"slant": 0.5, "hand": "left"}'}):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for number in range(4):
                parts = {"png": image(seed=number), "cls": b"%d" % (number % 2), **facts}
                for ending, content in parts.items():
                    head = tarfile.TarInfo(f"{number}.{ending}")
                    head.size = len(content)
                    archive.addfile(head, io.BytesIO(content))
        made.append(buffer.getvalue())
    return made


@cache
def shards_packed():
    """A packed set as a bundle."""
    from gander import packing

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = np.arange(6 * SIDE * SIDE, dtype=np.uint8).reshape(6, SIDE, SIDE)
        np.savez(folder / "set.npz", images=images, label=np.arange(6) % 2, weight=np.arange(6) / 7)
        packing.pack(str(folder / "set.npz"), folder / "out", each=3, tell=lambda _: None)
        out = folder / "out"
        files = {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*.*"))}
    return [packed(files)]


def tables():
    whole = b"file,n\n" + b"".join(b"%d.png,%d\n" % (n, n % 3) for n in range(12))
    return [TABLE, whole, b'\xef\xbb\xbfimage\tc\n"1.png"\t"a ""b"""\n2\tc\n']


def archives():
    """What the binary archive of CIFAR-10 looks like, too short."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("data_batch_1.bin", "test_batch.bin"):
            archive.addfile(tarfile.TarInfo(f"cifar-10-batches-bin/{name}"), io.BytesIO())
    return [gzip.compress(buffer.getvalue(), 1, mtime=0)]


# ---------------------------------------------------------------------- words
def specifications():
    return [
        LINE.encode(),
        OWN.encode(),
        b"noise:gaussian(62) slant:uniform(-2,2),recognised",
        b"z:gaussian c:binary(0.5)",
    ]


def settings():
    return [
        b"batch=64\noptimiser.critic_rate=4e-4\nc1.recognised=0.5",
        b"codes=noise:gaussian(62) digit:given,shown\ntraining.images=6e5",
        b"codes.c2.size=2\nbest=r2/c1\ntensorboard=false\ndata.source=mnist:test",
    ]


def tomls():
    own = (
        b'preset = "infogan"\n[training]\nbatch = 32\n[codes.noise]\nkind = "gaussian"\nsize = 10\n'
    )
    line = f'codes = "{LINE}"\n[game]\nobjective = "hinge"\nr1 = 1.0\n'.encode()
    return [to_toml(load(name)).encode() for name in ("acgan", "infogan")] + [own, line]


def asked():
    """What is set, swept, seeded and named on the command line, a line each."""
    return [
        b"set turn=1\nset kind=2\nsweep turn=-1:1:5\nseeds 0,1,4-6\nsheet 8x12\nname turn=tilt:left:right",
        b"set lit.1=on\nsweep kind\nsweep lit.0\nname kind.1=shoe\nname kind.#2=hat\nset noise.0=-0.5",
    ]


# ---------------------------------------------------------------------- trained games
def spec():
    """Codes of every kind, all of them settled."""
    return CodeSpec.parse(OWN)


@cache
def card():
    return Card(spec(), (1, SIDE, SIDE), "mlp", 3, "none", "infogan", "glyphs")


def as_file(tensors, facts):
    """A weight file of schema 2, whose content no checksum covers."""
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save(plain, {"gander": json.dumps(facts | {"schema": SCHEMA})})


@cache
def weights(who="generator"):
    """The smallest network gander builds, as a weight file."""
    torch.manual_seed(0)
    network = card().build_generator() if who == "generator" else card().build_critic()
    facts = {"card": card().to_dict(), "images_seen": 640}
    if who == "generator":
        facts["names"] = names().to_dict()
    return as_file(dict(network.state_dict()), facts)


def names():
    found = {"data": "glyphs:test", "labels": 30, "hand": [1]}
    classes = Called(classes=("shoe", "hat", "#2"), confidence=(0.9, 0.8, 0.0))
    return Names({"kind": classes, "turn": Called("tilt")}, {"kind": found})


def named():
    return [json.dumps(names().to_dict()).encode()]


def model_json():
    import hashlib

    files = {
        "generator": {
            "file": "g.safetensors",
            "bytes": 1,
            "sha256": hashlib.sha256(weights()).hexdigest(),
        }
    }
    facts = {"format": "gander weights", "files": files, "codes": [], "shape": [1, SIDE, SIDE]}
    return [packed({"model.json": json.dumps(facts).encode(), "g.safetensors": weights()})]


def log_line(seen):
    line = {"images_seen": seen, "seconds": seen / 500, "threads": 1, "images_per_second": 491.9}
    line |= {
        "terms": {"critic": 1.5, "generator": 0.7, "fake/c1": 0.2},
        "information": {"c1": 0.4, "digit": 1.1},
    }
    line |= {"ceilings": {"c1": 1.0, "digit": 2.3}, "health": {"diversity": 0.8, "told_apart": 0.9}}
    return line | {"alarms": ["dead_code/c1", "collapse"]}


def evaluation(seen):
    real = {
        "value": 12.5,
        "floor": 3.0,
        "ceiling": None,
        "floor_is": "real",
        "error": 0.2,
        "about": "distance",
    }
    label = {"value": 0.9, "floor": 0.1, "ceiling": 0.99, "floor_is": "nothing", "about": "share"}
    line = {
        "images_seen": seen,
        "seed": 0,
        "n": 2000,
        "data": "glyphs",
        "judge": "a judge",
        "features": "the judge's",
    }
    return line | {"metrics": {"frechet": real, "r2/c1": label}, "missing": {"kernel": "no reason"}}


def lines(make):
    return b"".join(json.dumps(make(seen)).encode() + b"\n" for seen in (64, 640))


@cache
def run_files():
    """Every file of a run folder that is read, weights and state aside."""
    config = load("infogan")
    resolved = {
        "family": "InfoGAN",
        "line": LINE,
        "shape": [1, SIDE, SIDE],
        "data": "glyphs",
        "found": ["4 images"],
    }
    resolved |= {"factors": [], "fingerprint": "6a6a", "codes": config.codes.to_dict()}
    provenance = {
        "gander": "0.1.0",
        "torch": "2",
        "python": "3",
        "machine": "x",
        "engine": "cpu",
        "command": "gander",
    }
    told = {
        "schema": SCHEMA,
        "resolved": resolved,
        "provenance": provenance | {"started": "2026-01-01"},
    }
    best = {
        "figure": "frechet",
        "value": 12.5,
        "better": "lower",
        "images_seen": 640,
        "n": 2000,
        "judge": "a judge",
    }
    return {
        "config.toml": to_toml(config, told).encode(),
        "log.jsonl": lines(log_line),
        "metrics.jsonl": lines(evaluation),
        "best/best.json": json.dumps(best).encode(),
        "samples/images-000000064.png": image(),
        "samples/images-000000640.png": image(),
        "samples/sweep-c1-000000640.png": image(),
        "names.json": named()[0],
    }


def played():
    return [packed(run_files()), packed({**run_files(), "weights/averaged.safetensors": weights()})]


def states():
    moments = {
        "step": torch.tensor(3.0),
        "exp_avg": torch.ones(3, 2),
        "exp_avg_sq": torch.ones(3, 2),
    }
    tensors = {f"optimiser.critic.0.{name}": tensor for name, tensor in moments.items()}
    tensors |= {"critic.weight": torch.ones(3, 2), "critic.bias": torch.zeros(3)}
    return [as_file(tensors, {"images_seen": 64, "threads": 1})]


def networks():
    """A feature network as an ONNX file: every image's mean over its columns."""
    import onnx
    from onnx import TensorProto, helper

    entry = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])
    said = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 1, SIDE])
    node = helper.make_node("ReduceMean", ["images"], ["features"], axes=[3], keepdims=0)
    graph = helper.make_graph([node], "features", [entry], [said])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return [model.SerializeToString()]


def records():
    part = {"rules": "none", "rows": [1, 2.5, "x"]}
    machine = {"date": "2026-01-01", "load_average": 0.1}
    return [
        json.dumps(
            {"parts": {"startup": part}, "machine": machine, "command": "gander bench"}
        ).encode()
    ]


def folders_packed():
    return [packed(files) for files in folders()]


def pngs():
    return [content for name, content in every_image().items() if name.endswith(".png")]
