"""Several sites in one browser: hosts of different registrable domains on this machine, over HTTPS.

The certificate is made when the tests run, by `openssl`, and signed by nobody.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path

from e2e.browsers import ROOT
from e2e.server import SiteServer
from tests.tiny_chat import TinyChat

#: Chromium finds every site of the tests here, and takes the certificate as it is.
SITES = ["--host-resolver-rules=MAP *.test 127.0.0.1", "--ignore-certificate-errors"]


#: The tiny model on such a site.
MODEL, WEIGHTS = "/tiny/tiny.manifest.json", "/tiny/tiny.gguf"


def site_with(folder: Path, tiny: TinyChat, hub: str = "") -> Path:
    """The built site in a folder of its own, with the tiny model and the address of a hub."""
    built = ROOT / "build" / "site"
    unused = shutil.ignore_patterns("models", "packages")
    shutil.copytree(built, folder, ignore=unused, copy_function=os.link)
    shutil.copytree(tiny.manifest.parent, folder / "tiny")
    assert (folder / MODEL.lstrip("/")).exists(), sorted((folder / "tiny").iterdir())
    page = folder / "index.html"
    text = page.read_text().replace('data-hub=""', f'data-hub="{hub}"')
    if hub:
        text = text.replace("frame-src 'none'", f"frame-src {hub}")
    page.unlink()  # it is the built one's own file until here
    page.write_text(text)
    return folder


def certificate(folder: Path) -> Path:
    """A key and a certificate for `*.test` in one file of the folder."""
    key, signed, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command: list[str | Path]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-days", "2", "-subj", "/CN=edgewise.test",
               "-addext", "subjectAltName=DNS:*.test", "-keyout", key, "-out", signed]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(key.read_text() + signed.read_text())
    return both


class SecureSite(SiteServer):
    """The host of other tests under a name of its own, over HTTPS."""

    def __init__(self, root: Path, host: str, pem: Path) -> None:
        super().__init__(root)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        # in the connection's own thread: a browser may open one and say nothing
        self._http.socket = context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://{host}:{self._http.server_address[1]}"
