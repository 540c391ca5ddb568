"""The origins and host names that each server accepts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.auth.origins import OriginPolicy
from whisperlive_hybrid.errors import BadRequest, Forbidden

FRIEND = "https://friend.example"
EXTENSIONS = [
    "chrome-extension://kjfhgaldkdoaklpmfgdjjgnhkjfhgald",
    "moz-extension://2b0f6c6e-0a4e-4b3f-9d0c-6d4f1c8f7a11",
    "safari-web-extension://A8B5C3D2-0000-4000-8000-000000000000",
]


def http(host: str = "0.0.0.0", origins: str = "", hosts: str = "") -> OriginPolicy:  # noqa: S104 (the default)
    """Return the policy of an HTTP server with the usual ports."""
    return OriginPolicy.for_http(host, origins, hosts, frozenset({8080, 5050}))


def live(host: str = "0.0.0.0", origins: str = "", hosts: str = "") -> OriginPolicy:  # noqa: S104 (the default)
    """Return the policy of the live server beside it."""
    return http(host, origins, hosts).for_live(host)


def code_of(pages: OriginPolicy, origin: str | None, host: str | None) -> str | None:
    """Return the error code of a rejection; None if the request is accepted."""
    try:
        pages.check([] if origin is None else [origin], [] if host is None else [host])
    except Forbidden as error:
        return error.code
    return None


def lets_in(pages: OriginPolicy, origin: str | None, host: str | None = "server:8080") -> bool:
    """Return True if the request is accepted."""
    return code_of(pages, origin, host) is None


class TestHttpPolicy:
    """The HTTP server, where a page could read the texts of other clients."""

    @pytest.mark.parametrize(
        ("origin", "host", "expected"),
        [
            (None, "server:8080", True),  # a program
            (None, None, True),
            ("http://server:8080", "server:8080", True),  # our own page
            ("https://Server:8080", "server:8080", True),
            ("http://server:5050", "server:8080", True),  # the other door
            ("http://[::1]:8080", "[::1]:8080", True),
            ("https://captions.example.com", "captions.example.com", True),  # behind a proxy
            (FRIEND, "server:8080", True),
            ("https://Friend.example", "server:8080", True),
            ("http://friend.example", "server:8080", False),  # others may write into it
            ("https://friend.example:444", "server:8080", False),
            ("https://sub.friend.example", "server:8080", False),
            ("http://server", "server:8080", False),
            ("http://server:3000", "server:8080", False),
            ("http://server:8080.evil.example", "server:8080", False),
            ("http://server:8080@evil.example", "server:8080", False),
            ("http://serverevil.example:8080", "server:8080", False),
            ("https://evil.example", "server:8080", False),
            ("https://evil.example, http://server:8080", "server:8080", False),
            (EXTENSIONS[0], "server:8080", False),
            ("file://", "server:8080", False),
            ("null", "server:8080", False),
            ("", "server:8080", False),
            ("", "", False),
            ("http://", "", False),
            ("http://server:8080", None, False),
        ],
    )
    def test_foreign_pages_are_recognised_by_their_origin(
        self, origin: str | None, host: str | None, *, expected: bool
    ) -> None:
        """Our own pages and listed ones are accepted; programs send no origin."""
        assert lets_in(http(origins=FRIEND), origin, host) is expected

    def test_every_page_where_the_operator_says_so(self) -> None:
        """`*` allows every origin, `null` the opaque ones."""
        assert lets_in(http(origins="*"), "https://evil.example")
        assert lets_in(http(origins="*"), "null")
        assert lets_in(http(origins="null"), "null")
        assert not lets_in(http(origins="null"), "https://evil.example")


class TestLivePolicy:
    """The live server, whose clients are web pages too, and see their own text only."""

    @pytest.mark.parametrize("origin", [*EXTENSIONS, "file://", "capacitor://localhost"])
    @pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])  # noqa: S104 (the default)
    def test_what_is_installed_is_no_web_page(self, origin: str, host: str) -> None:
        """WhisperLive's extensions work without a setting, whatever id the browser gave them."""
        assert lets_in(live(host), origin, "localhost:5050")
        assert lets_in(live(host, origins=FRIEND), origin, "localhost:5050")

    @pytest.mark.parametrize("page", ["http://server", "https://server", "http://server:3000"])
    def test_pages_of_the_same_host_may_come_from_any_port(self, page: str) -> None:
        """A page beside the server, or behind the same proxy, is not foreign."""
        assert lets_in(live(), page, "server:9090")

    def test_the_opaque_origin_is_allowed_without_a_list_or_loopback(self) -> None:
        """Files in a browser and Firefox' content scripts send it, and so do sandboxed frames."""
        assert lets_in(live(), "null")
        assert not lets_in(live("127.0.0.1"), "null", "localhost:5050")
        assert not lets_in(live(origins=FRIEND), "null")
        narrow = live("127.0.0.1", origins=f"{FRIEND},null")
        assert lets_in(narrow, "null", "localhost:5050")

    @pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])  # noqa: S104 (the default)
    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "http://localhost.evil.example:5050", "evil", ""]
    )
    def test_foreign_pages_are_refused(self, origin: str, host: str) -> None:
        """They would use a server that only their visitor can reach."""
        assert code_of(live(host), origin, "localhost:5050") == "origin_not_allowed"

    def test_the_python_client_sends_an_origin_of_its_own(self) -> None:
        """The websocket-client package derives it from the address of the server."""
        pages = live("127.0.0.1")
        assert lets_in(pages, "http://127.0.0.1:5050", "127.0.0.1:5050")
        assert lets_in(pages, "http://localhost:5050", "localhost:5050")


class TestNames:
    """Host names, against DNS rebinding: a page's own name may resolve to our address."""

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("127.0.0.1:8080", True),
            ("10.0.0.7", True),  # the probe of an orchestrator
            ("[::1]:8080", True),
            ("[fe80::1]", True),
            ("localhost", True),
            ("LocalHost.:8080", True),
            (None, True),  # HTTP/1.0: no browser
            ("evil.example:8080", False),
            ("127.0.0.1.evil.example", False),
            ("localhost.evil.example", False),
            ("[::1]evil.example", False),
            ("localhost:8080:1", False),
            ("evil.example@127.0.0.1", False),
            ("127.0.0.1, evil.example", False),
            ("", False),
        ],
    )
    @pytest.mark.parametrize("bind", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
    def test_a_server_of_one_machine_has_no_other_names(
        self, bind: str, host: str | None, *, expected: bool
    ) -> None:
        """Addresses cannot be made to point elsewhere."""
        found = code_of(http(bind), None, host)
        assert found == (None if expected else "host_not_allowed")

    def test_a_name_of_our_own_does_not_help_a_page(self) -> None:
        """Its origin equals the host of the request, as for our own page; its name is unknown."""
        pages = live("127.0.0.1")
        origin, host = "http://evil.example:5050", "evil.example:5050"
        assert code_of(pages, origin, host) == "host_not_allowed"

    @pytest.mark.parametrize("host", ["whisper:5050", "captions.example.com", "pc.lan", "x"])
    def test_a_server_of_a_network_is_known_by_any_name(self, host: str) -> None:
        """Proxies, compose files and name servers give it names that are not configured."""
        assert lets_in(http(), None, host)
        assert lets_in(live("192.0.2.7"), None, host)

    @pytest.mark.parametrize("bind", ["0.0.0.0", "127.0.0.1"])  # noqa: S104 (the default)
    def test_listed_names_are_the_only_ones(self, bind: str) -> None:
        """With or without a port, besides addresses and localhost."""
        pages = http(bind, hosts="Captions.example.com:9090, pc.lan.")
        for host in ("captions.example.com", "pc.lan:8080", "127.0.0.1", "localhost:8080"):
            assert lets_in(pages, None, host)
        assert not lets_in(pages, None, "evil.example")
        assert not lets_in(pages, None, "sub.captions.example.com")

    def test_the_name_that_it_listens_on_is_its_own(self) -> None:
        """Beside those that are listed."""
        pages = http("whisper.lan", hosts="captions.example.com")
        assert lets_in(pages, None, "whisper.lan:8080")

    def test_a_star_is_any_name(self) -> None:
        """For a proxy on the same machine whose names change."""
        assert lets_in(http("127.0.0.1", hosts="*"), None, "any.example")


class TestSettings:
    """Lists as operators write them."""

    def test_origins_are_compared_as_browsers_send_them(self) -> None:
        """Without a slash at the end or the scheme's own port, in lower case."""
        written = "https://A.example/, http://b.example:8000,https://c.example:443,file:///,"
        assert http(origins=written).origins == {
            "https://a.example",
            "http://b.example:8000",
            "https://c.example",
            "file://",
        }
        assert http().origins == frozenset()

    @pytest.mark.parametrize("written", ["a.example", "https://a.example/app", "//a.example", "**"])
    def test_what_no_browser_sends_is_refused(self, written: str) -> None:
        """It would never match any request."""
        with pytest.raises(BadRequest, match="WHISPERLIVE_ALLOWED_ORIGINS"):
            http(origins=written)

    @pytest.mark.parametrize("written", ["https://a.example", "a.example/", "*.a.example:x", "a b"])
    def test_what_is_no_name_is_refused(self, written: str) -> None:
        """A list of names has neither schemes nor paths."""
        with pytest.raises(BadRequest, match="WHISPERLIVE_ALLOWED_HOSTS"):
            live(hosts=written)


@given(st.text(), st.text())
def test_whatever_the_headers_hold_there_is_an_answer(origin: str, host: str) -> None:
    """Clients may send any headers."""
    assert code_of(live("127.0.0.1"), origin, host) in {
        None,
        "origin_not_allowed",
        "host_not_allowed",
    }
