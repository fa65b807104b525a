"""Several sites in one browser: hosts of different registrable domains on this machine, over HTTPS.

The certificate is made when the tests run, by `openssl`, and signed by nobody.
"""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from e2e.server import SiteServer

#: Chromium finds every site of the tests here, and takes the certificate as it is.
SITES = ["--host-resolver-rules=MAP *.test 127.0.0.1", "--ignore-certificate-errors"]


def certificate(folder: Path) -> Path:
    """A key and a certificate for `*.test` in one file of the folder."""
    key, signed, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
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
