import base64
import hashlib
import hmac

import pytest

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.jobs.webhooks import (
    RETRY_AFTER_S,
    is_delivered,
    is_permanent,
    parse_secret,
    retry_delay,
    sign_headers,
)


def test_the_example_of_the_specification() -> None:
    """The test vector that the libraries of Standard Webhooks share."""
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = sign_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "content-type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_plain_secret_is_its_own_key() -> None:
    """The signature is that of the text itself."""
    headers = sign_headers(parse_secret("plain"), "msg_1", 7, b"{}")
    digest = hmac.digest(b"plain", b"msg_1.7.{}", hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("broken", ["*", "ü"])
def test_a_broken_secret_is_named(broken: str) -> None:
    """The operator reads which setting to mend, and not the secret."""
    with pytest.raises(BadRequest, match="WHISPERLIVE_WEBHOOK_SECRET") as refusal:
        parse_secret(f"whsec_{broken}")
    assert broken not in refusal.value.message


def test_a_secret_without_a_key_is_refused() -> None:
    """Everybody knows the empty key, so everybody could sign."""
    with pytest.raises(BadRequest, match="WHISPERLIVE_WEBHOOK_SECRET has no key"):
        parse_secret("whsec_")


def test_what_answers_mean() -> None:
    """Taken, refused for good, or worth another try."""
    assert [is_delivered(status) for status in (199, 200, 299, 302)] == [False, True, True, False]
    hopeless = [status for status in range(200, 600) if is_permanent(status)]
    assert {400, 401, 404, 410, 422} <= set(hopeless)
    assert not {302, 408, 409, 425, 429, 500, 503} & set(hopeless)


def test_waits_grow_and_end() -> None:
    """Each failed try is followed by a longer wait, the last by none."""
    waits = [retry_delay(failed) for failed in range(1, len(RETRY_AFTER_S) + 2)]
    assert waits == [1, 10, 60, 300, 1800, None]
