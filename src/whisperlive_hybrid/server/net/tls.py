"""TLS on the live door, as the settings say."""

import ssl
from pathlib import Path

from whisperlive_hybrid.config import Settings
from whisperlive_hybrid.errors import BadRequest


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """What the settings say about TLS. Raises `BadRequest` for a certificate that does not load."""
    if not settings.ssl:
        return None
    if settings.ssl_cert is None:
        raise BadRequest("WHISPERLIVE_SSL is on, but WHISPERLIVE_SSL_CERT names no certificate.")
    _check_readable("WHISPERLIVE_SSL_CERT", settings.ssl_cert)
    if settings.ssl_key is not None:
        _check_readable("WHISPERLIVE_SSL_KEY", settings.ssl_key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.ssl_cert, settings.ssl_key, _no_password)
    except ssl.SSLError as error:
        raise BadRequest(
            "The TLS certificate and its key cannot be used: WHISPERLIVE_SSL_CERT must hold a PEM "
            "certificate chain, and WHISPERLIVE_SSL_KEY (or the same file) its unencrypted key "
            f"({error.reason or error})."
        ) from error
    return context


def _no_password() -> str:
    """Asked for by an encrypted key; without this, OpenSSL would ask a terminal, for ever."""
    raise BadRequest("The TLS key is encrypted: decrypt it, `openssl pkey -in KEY -out PLAIN`.")


def _check_readable(setting: str, file: Path) -> None:
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise BadRequest(
            f"The TLS file {setting}={str(file)!r} cannot be read: {error.strerror}."
        ) from error
