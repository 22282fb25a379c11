"""Certificates as an operator makes them, with openssl."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
EXTENSIONS = (
    "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    "subjectAltName=DNS:localhost,IP:127.0.0.1\n"
)


class Pair(NamedTuple):
    """The files of a certificate and of its key."""

    certificate: str
    key: str


class Authority:
    """An authority that signs certificates."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl to make certificates with")
        self.folder = folder
        self.own = Pair(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
        (folder / "extensions").write_text(EXTENSIONS)
        run("req", "-x509", *KEY, "-days", "2", "-subj", f"/CN={name}",
            "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", self.own.key, "-out", self.own.certificate)  # fmt: skip

    def sign(self, name: str) -> Pair:
        """Return a new certificate for this machine."""
        pair = Pair(str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key"))
        request = str(self.folder / f"{name}.csr")
        run("req", "-new", *KEY, "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request)
        run("x509", "-req", "-in", request, "-days", "2", "-CA", self.own.certificate,
            "-CAkey", self.own.key, "-CAcreateserial", "-extfile", str(self.folder / "extensions"),
            "-out", pair.certificate)  # fmt: skip
        return pair

    def encrypt(self, key: str, encrypted: str) -> None:
        """Write a key again, encrypted with a password."""
        run("pkcs8", "-topk8", "-in", key, "-out", encrypted, "-passout", "pass:hidden")


def run(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
