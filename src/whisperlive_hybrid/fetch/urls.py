"""URLs that clients give: which are understood, where a redirect leads, what the file is called."""

import re
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Final
from urllib.parse import unquote

import httpx

from whisperlive_hybrid.errors import BadRequest

LONGEST_URL: Final = 4096
"""Characters. Signed links to object stores take up to about 2,500."""

LONGEST_FILENAME: Final = 200
"""Characters of a label that is shown and logged."""

_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_LONGEST_HOST: Final = 253  # RFC 1035, 2.3.4, without the dots at both ends

_LONGEST_DISPOSITION: Final = 1024
"""Characters read of a Content-Disposition. The parser's time grows with the square of the length:
1 ms for so many hostile ones, 11 s for the 100 KB that a header may have (measured)."""


def parse(text: str) -> httpx.URL:
    """Read a URL of the schemes http or https, without a fragment, its host in ASCII.

    The address behind the host is another question; it is judged when it is known. Raises
    `BadRequest`.
    """
    if len(text) > LONGEST_URL:
        raise _invalid(f"The URL has {len(text)} characters; at most {LONGEST_URL} are read.")
    try:
        url = httpx.URL(text).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError) as error:  # ValueError: lone surrogates
        raise _invalid("The URL is malformed.") from error
    if url.scheme not in ("http", "https"):
        raise _invalid("The URL must begin with http:// or https://.")
    if url.userinfo:
        raise _invalid("The URL must not hold a user name or a password.")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise _invalid(f"The URL's port is {url.port}; use 1 to 65535.")
    return url.copy_with(host=host_name(host_of(url)))


def host_of(url: httpx.URL) -> str:
    """The host in ASCII; httpx's own `host` fails on what only looks like an international name."""
    return url.raw_host.decode("ascii")


def host_name(host: str) -> str:
    """The one spelling of a host in lower-case ASCII: without the dot of a complete name.

    Numbers such as 0x7f.1 are left to the resolver, which decides what they mean. Raises
    `BadRequest` for what can be no host.
    """
    if not host:
        raise _invalid("The URL names no host.")
    name = host.lower().removesuffix(".")
    if ":" in host:  # IPv6, already checked but for the zone: our network cards are our own
        is_valid = "%" not in host
    else:
        is_valid = len(name) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, name.split(".")))
    if not is_valid:
        raise _invalid(f"The URL's host {host[:_LONGEST_HOST]!r} is no host name.")
    return name


def redirected(url: httpx.URL, location: str) -> httpx.URL:
    """Where an answer from `url` leads; raises `BadRequest` if it is not followed."""
    try:
        target = parse(str(url.join(location)))
    except (httpx.InvalidURL, ValueError) as error:
        raise _invalid(f"The server at {host_of(url)} redirects to a malformed URL.") from error
    except BadRequest as error:
        message = (
            f"The server at {host_of(url)} redirects to a URL that is refused: {error.message}"
        )
        raise _invalid(message) from error
    if url.scheme == "https" and target.scheme == "http":
        raise BadRequest(
            f"The server at {host_of(url)} redirects from https to http, which is not followed.",
            param="url",
            code="url_not_allowed",
        )
    return target


def filename(url: httpx.URL, disposition: str) -> str:
    """What a download is called: by its Content-Disposition, its path, or else its host.

    A label to show, never a path to write to.
    """
    names = (_attachment(disposition), unquote(url.path.rpartition("/")[2]), host_of(url))
    return next(filter(None, map(_shown, names)), "")


def _attachment(disposition: str) -> str:
    """The `filename` of a Content-Disposition; `filename*` wins (RFC 6266, 4.3)."""
    header = Message()
    header["content-disposition"] = disposition[:_LONGEST_DISPOSITION]
    values = [
        value
        for name, value in header.get_params([], "content-disposition")
        if name.lower() == "filename"
    ]
    values.sort(key=lambda value: isinstance(value, str))  # extended ones are tuples
    return collapse_rfc2231_value(values[0]) if values else ""


def _shown(name: str) -> str:
    """The last part of a name, without what is invisible or turns text around."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(filter(str.isprintable, last)).strip(" .")[:LONGEST_FILENAME]


def _invalid(message: str) -> BadRequest:
    return BadRequest(message, param="url", code="invalid_url")
