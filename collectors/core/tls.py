"""The authorities that this machine's programs trust: the system's, and those of its SenseTIG installation.

The playbook does not add the hub's authority to the system's store, so that other programs do not trust it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext

#: The folder of the authorities, written by the role certificates. Go programs read it through SSL_CERT_DIR.
TRUSTED = "/etc/sensetig/tls/trusted"


def client_context(ca_file: str | None = None) -> SSLContext:
    """The context of a client that trusts the certificates of a file, or those of the system and this installation.

    Args:
        ca_file: certificates (PEM), or None.

    Raises:
        OSError: a file cannot be read or has no certificate; ``filename`` is its path.
    """
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # including ssl.SSLError
        error.filename = ca_file
        raise
    if ca_file is None:
        trust_installation(context)
    return context


def trust_installation(context: SSLContext) -> None:
    """Add the authorities of this installation; there are none on a machine without TLS.

    Raises:
        OSError: a file cannot be read or is not a certificate; ``filename`` is its path.
    """
    try:
        names = sorted(name for name in os.listdir(TRUSTED) if name.endswith(".crt"))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = os.path.join(TRUSTED, name)
        try:
            context.load_verify_locations(path)
        except OSError as error:  # including ssl.SSLError
            error.filename = path
            raise
