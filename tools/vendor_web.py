"""Fetches the two browser libraries that the knobs page carries, checks them and lays them into the package.

    python tools/vendor_web.py

The packages come from the npm registry (`npm pack`) and must have the recorded SHA-512; what is laid down is recorded, with its
SHA-256, in ``vendored.json``, which a test compares with the files. Run it to move to a new version, after changing the
table below; a user never needs it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HOME = Path(__file__).parent.parent / "src" / "gander" / "explore" / "vendor"
PACKAGES = {
    "onnxruntime-web": {
        "version": "1.30.0",
        "licence": "MIT",
        "copyright": "Microsoft Corporation",
        "source": "https://github.com/microsoft/onnxruntime",
        "sha512": "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        "files": {
            "dist/ort.wasm.bundle.min.mjs": "ort.wasm.bundle.min.mjs",
            "dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm.gz",
        },
    },
    "gifenc": {
        "version": "1.0.3",
        "licence": "MIT",
        "copyright": "2017 Matt DesLauriers",
        "source": "https://github.com/mattdesl/gifenc",
        "sha512": "xdr6AdrfGBcfzncONUOlXMBuc5wJDtOueE3c5rdG0oNgtINLD+f2iFZltrBRZYzACRbKr+mSVU/x98zv2u3jmw==",
        "files": {"dist/gifenc.esm.js": "gifenc.esm.js"},
    },
}


def main() -> None:
    HOME.mkdir(parents=True, exist_ok=True)
    record = {name: lay_down(name, package) for name, package in PACKAGES.items()}
    (HOME / "vendored.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def lay_down(name: str, package: dict) -> dict:
    """One package: fetched, checked, its files written; returns what to record."""
    with tempfile.TemporaryDirectory() as folder:
        spec = f"{name}@{package['version']}"
        subprocess.run(["npm", "pack", "--silent", spec], cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != package["sha512"]:
            sys.exit(f"{spec}: SHA-512 is {found}, recorded is {package['sha512']}")
        digests = {}
        with tarfile.open(archive) as members:
            for inside, outside in package["files"].items():
                content = members.extractfile(f"package/{inside}").read()
                if outside.endswith(
                    ".gz"
                ):  # without a time, so that the same input is the same file
                    content = gzip.compress(content, 9, mtime=0)
                (HOME / outside).write_bytes(content)
                digests[outside] = hashlib.sha256(content).hexdigest()
    kept = ("version", "licence", "copyright", "source", "sha512")
    return {key: package[key] for key in kept} | {"files": digests}


if __name__ == "__main__":
    main()
