"""An input changed: at random bytes, and where it pays in what they mean, so that a reader is led past its first check.

``changed`` knows a format by the ending of a name, as ``.npz`` or ``.toml``, and changes the members of a zip, the header of an
array or of a weight file, the values of a table, the chunks of a PNG (their checksums put right), the files of a bundle.
What cannot be understood is changed as bytes. Everything is a function of the random generator that is passed in.
"""

import gzip
import io
import json
import math
import re
import struct
import tomllib
import warnings
import zipfile
import zlib
from pathlib import PurePosixPath

import tomli_w

from fuzz import bundle

NUMBERS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 1000, 4096, 32767, 65535, 65536, 10**6)
NUMBERS = (*NUMBERS, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
NUMBERS = (*NUMBERS, *(-number for number in NUMBERS))
FRACTIONS = (0.5, -0.0, 1e-320, 1e30, 1e308, -1e308, math.inf, -math.inf, math.nan)
WORDS = (
    "",
    " ",
    "a",
    "\0",
    "é",
    "\u202e",
    "\ud800",
    "😀",
    "\n",
    "\r\n",
    "../../x",
    "/etc/passwd",
    "C:\\x",
)
WORDS = (
    *WORDS,
    "None",
    "nan",
    "inf",
    "-1",
    "1e400",
    "0x10",
    "١",
    "=",
    ":",
    "(",
    "()",
    ",",
    ";",
    "|",
    "#0",
    "'",
    '"',
)
WORDS = (
    *WORDS,
    "%s",
    "{}",
    "{0}",
    "label",
    "noise",
    "class",
    "images",
    "gaussian",
)
LONG = ("x" * 300, "9" * 5000, "(" * 2000)
NAMES = (
    "../x.png",
    "/x.png",
    "a/../../b.png",
    "C:/x.png",
    ".hidden.png",
    "a\\..\\b.png",
    "x" * 250 + ".png",
)
NAMES = (
    *NAMES,
    "é.png",
    "a\nb.png",
    "a/b/c/d.png",
    "train/a/1.png",
    "test/b/2.png",
    "labels.csv",
    "images.npy",
    ".npy",
)
TOKEN = re.compile(r"[^\W_]+|[\W_]")
MOST = 1 << 18  # bytes of an input


def changed(data, name, chance, others=()):
    """An input of the sort its name says, changed in one to four places. ``others`` are inputs to borrow from."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        data = _once(data, name, chance, others)[:MOST]
    return data


def _once(data, name, chance, others):
    change = CHANGES.get("".join(PurePosixPath(name).suffixes[-1:]).lower(), in_bytes)
    if chance.random() < 0.2:
        change = in_bytes
    try:
        return change(data, chance, others)
    except Exception:  # what was changed before can no longer be understood, and fails in any way
        return in_bytes(data, chance, others)


# ---------------------------------------------------------------------- bytes
def in_bytes(data, chance, others=()):
    """One change anywhere: bits, bytes, whole numbers of any width, ranges removed, repeated, moved or borrowed."""
    data = bytearray(data)
    if not data:
        return bytes(chance.getrandbits(8) for _ in range(chance.randrange(1, 9)))
    at = chance.randrange(len(data))
    # What a format says of itself stands at its beginning or at its end.
    at = chance.choice((at, at, at % 64, len(data) - 1 - at % 64)) % len(data)
    length = min(len(data) - at, 1 << chance.randrange(0, 10))
    what = chance.randrange(9)
    if what == 0:
        data[at] ^= 1 << chance.randrange(8)
    elif what == 1:
        data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.getrandbits(8)))
    elif what == 2:
        number = chance.choice(NUMBERS)
        width, order = chance.choice((1, 2, 4, 8)), chance.choice(("little", "big"))
        data[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, order)
    elif what == 3:
        del data[at : at + length]
    elif what == 4:
        data[at:at] = data[at : at + length] * chance.choice((1, 1, 2, 100))
    elif what == 5:
        data[at:at] = bytes(chance.getrandbits(8) for _ in range(min(length, 16)))
    elif what == 6:
        to = chance.randrange(len(data))
        data[to : to + length] = data[at : at + length]
    elif what == 7 and others:
        other = chance.choice(others)
        start = chance.randrange(len(other) or 1)
        data[at : at + length] = other[start : start + length]
    else:
        del data[at:]
    return bytes(data)


# ---------------------------------------------------------------------- text
def in_text(data, chance, others=()):
    """Words between signs taken out, doubled, exchanged, or put in from those that trip readers; whole lines too."""
    text = data.decode("utf-8", "surrogateescape")
    parts = text.splitlines(keepends=True) if chance.random() < 0.3 else _tokens(text)
    if not parts:
        return _word(chance).encode("utf-8", "surrogatepass")
    at, what = chance.randrange(len(parts)), chance.randrange(5)
    if what == 0:
        del parts[at]
    elif what == 1:
        parts[at] *= chance.choice((2, 2, 2, 3, 3, 40, 1000))
    elif what == 2:
        parts[at] = _word(chance)
    elif what == 3:
        parts.insert(at, _word(chance))
    else:
        other = chance.randrange(len(parts))
        parts[at], parts[other] = parts[other], parts[at]
    return "".join(parts).encode(
        "utf-8", "surrogateescape" if "\ud800" not in parts else "surrogatepass"
    )


def _tokens(text):
    """Letters and digits together, every other sign alone."""
    return TOKEN.findall(text)


def _word(chance):
    if chance.random() < 0.02:
        return chance.choice(LONG)
    sort = chance.randrange(3)
    return str(chance.choice((WORDS, NUMBERS, FRACTIONS)[sort]))


# ---------------------------------------------------------------------- tables
def _value(chance):
    """Something a table may hold and its reader may not expect."""
    values = [
        True,
        False,
        None,
        [],
        {},
        [[]],
        [1, "a"],
        {"a": {}},
        10**400,
    ]
    if chance.random() < 0.02:
        return chance.choice(LONG)
    return chance.choice(
        (
            chance.choice(values),
            chance.choice(NUMBERS),
            chance.choice(FRACTIONS),
            chance.choice(WORDS),
        )
    )


def in_table(table, chance):
    """One place of a tree of tables and lists changed, in place; the tree, or what takes its place."""
    places = []
    trees = [table]
    while trees:
        tree = trees.pop()
        keys = list(tree) if isinstance(tree, dict) else range(len(tree))
        for key in keys:
            places.append((tree, key))
            if isinstance(tree[key], dict | list):
                trees.append(tree[key])
    if not places or chance.random() < 0.02:
        return _value(chance)
    tree, key = chance.choice(places)
    what = chance.randrange(6)
    if what == 0:
        del tree[key]
    elif what == 1:
        _put(tree, chance.choice(WORDS), tree[key])
    elif what == 2:
        other, its = chance.choice(places)
        tree[key] = other[its]
    elif what == 3 and isinstance(tree[key], int | float) and not isinstance(tree[key], bool):
        tree[key] = chance.choice(
            (-tree[key], tree[key] + 1, tree[key] * 1000, tree[key] / 3, str(tree[key]))
        )
    elif what == 4 and isinstance(tree[key], list):
        tree[key] = tree[key] * chance.choice((0, 2, 100))
    else:
        tree[key] = _value(chance)
    return table


def _put(tree, key, value):
    if isinstance(tree, dict):
        tree[key] = value
    else:
        tree.append(value)


def in_json(data, chance, others=()):
    what = chance.random()
    if what < 0.1:
        return in_text(data, chance, others)
    if what < 0.12:
        opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
        many = chance.choice((100, 2000, 100_000))
        return (opening * many + "1" + closing * many).encode()
    # A surrogate alone is written as an escape, which JSON allows and UTF-8 does not.
    return json.dumps(in_table(json.loads(data), chance)).encode()


def in_json_lines(data, chance, others=()):
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    if chance.random() < 0.1:
        lines.insert(at, lines[chance.randrange(len(lines))])
    lines[at] = in_json(lines[at], chance, others)
    return b"\n".join(lines)


def in_toml(data, chance, others=()):
    what = chance.random()
    if what < 0.4:
        return in_text(data, chance, others)
    if what < 0.42:
        many = chance.choice((100, 2000, 100_000))
        return data + chance.choice(
            (b"\nx = " + b"[" * many, b"\n[" + b"a." * many + b"b]\n", b"\nx = " + b"9" * many)
        )
    table = in_table(tomllib.loads(data.decode()), chance)
    return tomli_w.dumps(table).encode()


# ---------------------------------------------------------------------- containers
def in_zip(data, chance, others=()):
    """A member's content, name or way of packing, or the zip's own bytes."""
    if chance.random() < 0.25:
        return in_bytes(data, chance, others)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [[info.filename, archive.read(info)] for info in archive.infolist()]
    at, what = chance.randrange(len(members)), chance.randrange(10)
    if what == 0:
        members[at][0] = chance.choice(NAMES)
    elif what == 1:
        members.append(list(members[at]))
    elif what == 2:
        del members[at]
    elif what == 3:
        members[at][1] *= chance.choice((0, 2, 10))
    else:
        members[at][1] = _once(
            members[at][1], members[at][0], chance, [content for _, content in members]
        )
    buffer = io.BytesIO()
    way = chance.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    way = way if chance.random() < 0.1 else zipfile.ZIP_STORED
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", way) as archive:
        for name, content in members:  # a name may be there twice
            archive.writestr(_dated(name), content, way)
    return buffer.getvalue()


def _dated(name):
    """A member of no date but the first there is: the bytes may not depend on the clock."""
    info = zipfile.ZipInfo.__new__(zipfile.ZipInfo)
    info.__init__("x")
    info.filename = info.orig_filename = name
    return info


def in_gzip(data, chance, others=()):
    """What is inside, packed again, so that its checksum holds."""
    if chance.random() < 0.25:
        return in_bytes(data, chance, others)
    if chance.random() < 0.01:  # a bomb
        return gzip.compress(
            gzip.decompress(data) + bytes(1 << chance.choice((20, 27))), 9, mtime=0
        )
    return gzip.compress(in_bytes(gzip.decompress(data), chance, others), 1, mtime=0)


def in_bundle(data, chance, others=()):
    """One file of several: its content, mostly; its name, its sort, or whether it is there."""
    files = bundle.unpacked(data)
    at, what = chance.randrange(len(files)), chance.randrange(20)
    if what == 0:
        del files[at]
    elif what == 1:
        files[at][0] = chance.choice(
            (*NAMES, files[at][0].swapcase(), files[chance.randrange(len(files))][0])
        )
    elif what == 2:
        files[at] = [
            files[at][0] + chance.choice(("@link", "@link", "@pipe", "@folder")),
            chance.choice(bundle.LINKED),
        ]
    else:
        files[at][1] = _once(files[at][1], files[at][0], chance, [content for _, content in files])
    return b"".join(bundle.packed({name: content}) for name, content in files)


# ---------------------------------------------------------------------- headers
def in_npy(data, chance, others=()):
    """A word or a number of an array's header, its length put right; or its bytes."""
    if chance.random() < 0.3:
        return in_bytes(data, chance, others)
    wide = data[6] > 1
    size = int.from_bytes(data[8 : 12 if wide else 10], "little")
    start = 12 if wide else 10
    header, rest = data[start : start + size], data[start + size :]
    text = in_text(header, chance, others).rstrip()
    what = chance.random()
    if what < 0.2:
        shape = tuple(chance.choice(NUMBERS) for _ in range(chance.randrange(5)))
        sort = chance.choice(
            (
                "|u1",
                "<u1",
                "<i8",
                "<f4",
                ">f8",
                "<U8",
                "|O",
                "|b1",
                "<M8[s]",
                "<c16",
                "|V0",
                "<f2",
                "|S0",
            )
        )
        text = repr(
            {"descr": sort, "fortran_order": chance.random() < 0.3, "shape": shape}
        ).encode()
    elif what < 0.25:
        text = b"(" * 5000 + text
    return data[:6] + b"\x02\0" + struct.pack("<I", len(text) + 1) + text + b"\n" + rest


def in_weights(data, chance, others=()):
    """A value of the header of a safetensors file, or of the facts inside it, its length put right; or its bytes."""
    if chance.random() < 0.2:
        return in_bytes(data, chance, others)
    size = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    told = header.get("__metadata__", {})
    what = chance.random()
    if what < 0.6 and told:
        key = chance.choice(sorted(told))
        told[key] = in_json(told[key].encode(), chance, others).decode("utf-8", "replace")
        header["__metadata__"] = told
    elif what < 0.7 and len(rest) > 4:
        at = 4 * chance.randrange(len(rest) // 4)
        odd = struct.pack("<f", chance.choice((math.nan, math.inf, -math.inf, 3e38, 0.0)))
        rest = rest[:at] + odd + rest[at + 4 :]
    else:
        header = in_table(header, chance)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def in_png(data, chance, others=()):
    """The content of a chunk or its name, the checksum put right."""
    if chance.random() < 0.3:
        return in_bytes(data, chance, others)
    chunks, at = [], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += 12 + length
    at = chance.randrange(len(chunks))
    what = chance.randrange(8)
    if what == 0:
        chunks.insert(at, list(chunks[chance.randrange(len(chunks))]))
    elif what == 1:
        name = chance.choice(
            (
                b"tRNS",
                b"PLTE",
                b"eXIf",
                b"iCCP",
                b"zTXt",
                b"iTXt",
                b"acTL",
                b"fcTL",
                b"fdAT",
                b"gAMA",
            )
        )
        chunks.insert(at, [name, bytes(chance.getrandbits(8) for _ in range(chance.randrange(40)))])
    elif what == 2 and chunks[at][0] == b"IDAT":
        chunks[at][1] = zlib.compress(in_bytes(zlib.decompress(chunks[at][1]), chance, others), 1)
    else:
        chunks[at][1] = in_bytes(chunks[at][1], chance, others)
    body = (
        struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks
    )
    return data[:8] + b"".join(body)


CHANGES = {
    ".bundle": in_bundle,
    ".csv": in_text,
    ".gz": in_gzip,
    ".json": in_json,
    ".jsonl": in_json_lines,
    ".npy": in_npy,
    ".npz": in_zip,
    ".png": in_png,
    ".safetensors": in_weights,
    ".toml": in_toml,
    ".txt": in_text,
    ".zip": in_zip,
}
"""Ending -> what changes such a file once."""
