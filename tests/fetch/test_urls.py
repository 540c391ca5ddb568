import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.fetch.urls import (
    LONGEST_FILENAME,
    LONGEST_URL,
    get_host,
    parse,
    pick_filename,
    resolve_redirect,
)

HTTPS = parse("https://media.example/a/talk.mp3")


@pytest.mark.parametrize(
    ("given_url", "understood", "host"),
    [
        ("http://media.example/a.wav", "http://media.example/a.wav", "media.example"),
        ("HTTPS://Media.EXAMPLE:443", "https://media.example", "media.example"),
        ("http://media.example.:8080/x#t=9", "http://media.example:8080/x", "media.example"),
        ("http://bücher.example/ü b", "http://xn--bcher-kva.example/%C3%BC%20b", None),
        ("http://127。0。0。1/", "http://127.0.0.1/", "127.0.0.1"),
        ("http://2130706433/", "http://2130706433/", "2130706433"),
        ("http://0x7f.1/", "http://0x7f.1/", "0x7f.1"),
        ("http://[::FFFF:127.0.0.1]:9/", "http://[::ffff:127.0.0.1]:9/", "::ffff:127.0.0.1"),
        ("http://xn--a/", "http://xn--a/", "xn--a"),
        ("http://my_bucket.example/?key=a/b@c", "http://my_bucket.example/?key=a/b@c", None),
    ],
)
def test_urls_have_one_spelling(given_url: str, understood: str, host: str | None) -> None:
    """Host in lower-case ASCII, no default port, no fragment; numbers stay for the resolver."""
    url = parse(given_url)
    assert str(url) == understood
    assert host in (None, get_host(url))


@pytest.mark.parametrize(
    ("hostile", "expected"),
    [
        ("", "must begin with http"),
        ("media.example/a.wav", "must begin with http"),
        ("//media.example/a.wav", "must begin with http"),
        ("file:///etc/passwd", "must begin with http"),
        ("ftp://media.example/a.wav", "must begin with http"),
        ("gopher://media.example:25/", "must begin with http"),
        ("http:/a.wav", "names no host"),
        ("http:///a.wav", "names no host"),
        ("http://:80/", "names no host"),
        ("http://user@media.example/", "user name or a password"),
        ("http://user:secret@media.example/", "user name or a password"),
        ("http://media.example\\@127.0.0.1/", "user name or a password"),
        ("http://media.example:0/", "port is 0"),
        ("http://media.example:65536/", "port is 65536"),
        ("http://media.example:-1/", "port is -1"),
        ("http://media.example:http/", "malformed"),
        ("http://[::1/", "malformed"),
        ("http://[::1]media.example/", "malformed"),
        ("http://[fe80::1%eth0]/", "no host name"),
        ("http://010.0.0.1/", "malformed"),
        ("http://①②⑦.⓪.⓪.①/", "malformed"),
        ("http://media.example\r\nX: y/", "malformed"),
        (" http://media.example/", "must begin with http"),
        ("http://127.0.0.%31/", "no host name"),
        ("http://media..example/", "no host name"),
        ("http://media.example../", "no host name"),
        (f"http://{'a' * 64}.example/", "no host name"),
        (f"http://{'a.' * 130}example/", "no host name"),
        ("http://media.example/\ud800", "malformed"),
        (f"http://media.example/{'a' * LONGEST_URL}", f"at most {LONGEST_URL}"),
    ],
)
def test_other_urls_are_refused_with_the_reason(hostile: str, expected: str) -> None:
    """The message says what to change, and never contains the password."""
    with pytest.raises(BadRequest, match=expected) as refusal:
        parse(hostile)
    assert (refusal.value.param, refusal.value.code) == ("url", "invalid_url")
    assert "secret" not in refusal.value.message


@given(st.text() | st.text().map("http://".__add__) | st.from_regex(r"https?://[^/]{0,30}/.*"))
def test_no_text_is_a_defect(text: str) -> None:
    """Any text is parsed or refused; parsing the result again changes nothing."""
    try:
        url = parse(text)
    except BadRequest:
        return
    assert parse(str(url)) == url
    assert get_host(url)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://cdn.example/x", "https://cdn.example/x"),
        ("/b.wav", "https://media.example/b.wav"),
        ("b.wav?x=1#top", "https://media.example/a/b.wav?x=1"),
        ("//cdn.example/x", "https://cdn.example/x"),
        ("", "https://media.example/a/talk.mp3"),  # the bound on redirects ends it
        ("ü.wav", "https://media.example/a/%C3%BC.wav"),
    ],
)
def test_redirects_may_be_relative(location: str, target: str) -> None:
    """A Location is read from where it was found (RFC 9110, 10.2.2)."""
    assert str(resolve_redirect(HTTPS, location)) == target


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://media.example/a/talk.mp3", "from https to http"),
        ("file:///etc/passwd", "must begin with http"),
        ("https://user:secret@media.example/", "user name or a password"),
        ("https://media.example:0/", "port is 0"),
        ("https://media.example:x/", "malformed"),
        ("https://[", "no host name"),
    ],
)
def test_redirects_pass_all_checks_again(location: str, expected: str) -> None:
    """A server may not lead where its client could not have asked to go."""
    with pytest.raises(BadRequest, match=expected) as refusal:
        resolve_redirect(HTTPS, location)
    assert refusal.value.param == "url"
    assert "media.example" in refusal.value.message


def test_http_may_lead_to_https() -> None:
    """Only the way down is refused."""
    up = resolve_redirect(parse("http://media.example/"), "https://media.example/")
    assert up.scheme == "https"


@pytest.mark.parametrize(
    ("url", "disposition", "name"),
    [
        ("http://h.example/a/talk.mp3?sig=1", "", "talk.mp3"),
        ("http://h.example/a/%C3%BC%20b.wav", "", "ü b.wav"),
        ("http://h.example/a/", "", "h.example"),
        ("http://h.example", "inline", "h.example"),
        ("http://h.example/x", "attachment; filename=call.wav", "call.wav"),
        ("http://h.example/x", 'attachment; FileName="my call.wav"', "my call.wav"),
        ("http://h.example/x", "attachment; filename*=UTF-8''%e2%82%ac.wav", "€.wav"),
        ("http://h.example/x", "a; filename=e.wav; filename*=UTF-8''%e2%82%ac.wav", "€.wav"),
        ("http://h.example/x", "a; filename*=nonsense''%e2%82%ac.wav", None),
        ("http://h.example/x", 'a; filename="../../etc/passwd"', "passwd"),
        ("http://h.example/x", 'a; filename="C:\\\\temp\\\\call.wav"', "call.wav"),
        ("http://h.example/x", 'a; filename=".."', "x"),
        ("http://h.example/%2e%2e%2f%2e%2e%2fpasswd", "", "passwd"),
        ("http://h.example/a\u202e3pm.exe", "", "a3pm.exe"),
        ("http://h.example/" + "a" * 900, "", "a" * LONGEST_FILENAME),
    ],
)
def test_downloads_have_a_name_to_show(url: str, disposition: str, name: str | None) -> None:
    """The server's, or the path's last part, or the host's; never with a directory in it."""
    assert name in (None, pick_filename(parse(url), disposition))


def test_no_more_of_a_disposition_is_read_than_a_name_needs() -> None:
    """Its parser takes seconds for as much as a hostile header may hold."""
    late = "attachment; x=" + "y" * 1024 + "; filename=late.wav"
    assert pick_filename(HTTPS, late) == "talk.mp3"


@given(st.text() | st.text().map("a; filename*=".__add__) | st.text().map("a;filename=".__add__))
def test_any_disposition_gives_a_label(disposition: str) -> None:
    """Printable, bounded, no path, never empty."""
    name = pick_filename(HTTPS, disposition)
    assert name.isprintable()
    assert 0 < len(name) <= LONGEST_FILENAME
    assert not set(name) & {"/", "\\"}
