"""URLs from clients: parsing, redirects, and the name of the file behind them."""

import re
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Final
from urllib.parse import unquote

import httpx

from whisperlive_hybrid.errors import BadRequest

LONGEST_URL: Final = 4096
"""Characters. Signed links to object stores have up to about 2,500."""

LONGEST_FILENAME: Final = 200
"""Characters of a name that is shown and logged."""

_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_LONGEST_HOST: Final = 253  # RFC 1035, section 2.3.4, without the dots at both ends

_LONGEST_DISPOSITION: Final = 1024
"""Characters of a Content-Disposition that are parsed. The time grows with the square of the
length: 1 ms for 1,024 hostile ones, 11 s for the 100 KB that a header may have (measured)."""


def parse(text: str) -> httpx.URL:
    """Return a URL of the schemes http or https, without its fragment, with its host in ASCII.

    The host's address is checked later, when it is known. Raises `BadRequest`.
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
    return url.copy_with(host=normalise_host(get_host(url)))


def get_host(url: httpx.URL) -> str:
    """Return the host in ASCII; httpx's own `host` fails on invalid international names."""
    return url.raw_host.decode("ascii")


def normalise_host(host: str) -> str:
    """Return the host in lower-case ASCII, without the final dot of a complete name.

    Numbers such as 0x7f.1 are resolved by the resolver. Raises `BadRequest` for invalid hosts.
    """
    if not host:
        raise _invalid("The URL names no host.")
    name = host.lower().removesuffix(".")
    if ":" in host:  # IPv6, checked by httpx except for the zone, a network interface
        is_valid = "%" not in host
    else:
        is_valid = len(name) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, name.split(".")))
    if not is_valid:
        raise _invalid(f"The URL's host {host[:_LONGEST_HOST]!r} is no host name.")
    return name


def resolve_redirect(url: httpx.URL, location: str) -> httpx.URL:
    """Return the target of a redirect from `url`; raises `BadRequest` if it is not followed."""
    try:
        target = parse(str(url.join(location)))
    except (httpx.InvalidURL, ValueError) as error:
        raise _invalid(f"The server at {get_host(url)} redirects to a malformed URL.") from error
    except BadRequest as error:
        message = (
            f"The server at {get_host(url)} redirects to a URL that is refused: {error.message}"
        )
        raise _invalid(message) from error
    if url.scheme == "https" and target.scheme == "http":
        raise BadRequest(
            f"The server at {get_host(url)} redirects from https to http, which is not followed.",
            param="url",
            code="url_not_allowed",
        )
    return target


def pick_filename(url: httpx.URL, disposition: str) -> str:
    """Return the name of a download from its Content-Disposition, its path, or else its host.

    It is for display, never a path to write to.
    """
    header = Message()
    header["content-disposition"] = disposition[:_LONGEST_DISPOSITION]
    values = [
        value
        for name, value in header.get_params([], "content-disposition")
        if name.lower() == "filename"
    ]
    # `filename*` has precedence (RFC 6266, section 4.3); its values are tuples.
    values.sort(key=lambda value: isinstance(value, str))
    attachment = collapse_rfc2231_value(values[0]) if values else ""
    for name in (attachment, unquote(url.path.rpartition("/")[2]), get_host(url)):
        last = re.split(r"[/\\]", name)[-1]
        # Without invisible characters and those that reverse the direction of text.
        label = "".join(filter(str.isprintable, last)).strip(" .")[:LONGEST_FILENAME]
        if label:
            return label
    return ""


def _invalid(message: str) -> BadRequest:
    return BadRequest(message, param="url", code="invalid_url")
