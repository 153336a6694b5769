"""Several files as one input, so that a folder can be fuzzed like a file.

A bundle is, for each file, a mark, its name, the end of the line, and its content. Any bytes at all are a bundle, perhaps an empty one.
A name ending in ``@link`` is a symbolic link to its content, one of ``LINKED``, one ending in ``@pipe`` a named pipe, one ending in ``@folder`` an empty folder.
"""

import os
import shutil
from pathlib import Path, PurePosixPath

MARK = b"\n\0file: "
LINKED = (b"/dev/zero", b"/dev/null", b".", b"..", b"nowhere", b"a", b"../a/1.png")
"""To what a link may lead: it is read where it stands, so a free one could lead a reader through a whole disk."""


def packed(files):
    """Files, name -> content, as one input."""
    return b"".join(MARK + os.fsencode(name) + b"\n" + content for name, content in files.items())


def unpacked(bundle):
    """The files of an input, a list of [name, content] that may hold a name twice."""
    parts = (part.partition(b"\n") for part in bundle.split(MARK)[1:])
    return [[os.fsdecode(name), content] for name, _, content in parts]


def lay(bundle, folder):
    """Makes the folder hold the files of a bundle and nothing else; what no folder can hold is left out."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    folder = folder.resolve()
    for name, content in unpacked(bundle):
        plain, _, sort = name.partition("@")
        parts = PurePosixPath(plain).parts
        if not parts or "\0" in plain or parts[0].startswith("/") or ".." in parts:
            continue
        try:
            path = Path(folder, *parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Nothing is written through a link or into a pipe that lies there already.
            if os.path.lexists(path) or os.path.realpath(path.parent) != str(path.parent):
                continue
            if sort == "link" and content in LINKED:
                path.symlink_to(os.fsdecode(content))
            elif sort == "pipe":
                os.mkfifo(path)
            elif sort == "folder":
                path.mkdir()
            else:
                path.write_bytes(content)
        except (OSError, ValueError):
            continue
