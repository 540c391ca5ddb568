"""TLS of the live server, from the settings."""

import ssl
from pathlib import Path

from whisperlive_hybrid.config import LiveSettings
from whisperlive_hybrid.errors import BadRequest


def build_tls_context(settings: LiveSettings) -> ssl.SSLContext | None:
    """Return the TLS context, None without TLS; raise `BadRequest` for a bad certificate."""
    if not settings.ssl:
        return None
    if settings.ssl_cert is None:
        raise BadRequest("WHISPERLIVE_SSL is on, but WHISPERLIVE_SSL_CERT names no certificate.")
    # Checked first, because the errors of OpenSSL name neither the file nor the setting.
    _check_readable("WHISPERLIVE_SSL_CERT", settings.ssl_cert)
    if settings.ssl_key is not None:
        _check_readable("WHISPERLIVE_SSL_KEY", settings.ssl_key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a callback OpenSSL asks a terminal for the password of an encrypted key, and
        # waits for ever where there is none.
        context.load_cert_chain(settings.ssl_cert, settings.ssl_key, _refuse_password)
    except ssl.SSLError as error:
        raise BadRequest(
            "The TLS certificate and its key cannot be used: WHISPERLIVE_SSL_CERT must hold a PEM "
            "certificate chain, and WHISPERLIVE_SSL_KEY (or the same file) its unencrypted key "
            f"({error.reason or error})."
        ) from error
    return context


def _refuse_password() -> str:
    raise BadRequest("The TLS key is encrypted: decrypt it, `openssl pkey -in KEY -out PLAIN`.")


def _check_readable(setting: str, file: Path) -> None:
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise BadRequest(
            f"The TLS file {setting}={str(file)!r} cannot be read: {error.strerror}."
        ) from error
