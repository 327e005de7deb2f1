"""Who may do what."""

import pytest

from core.access import caller, check_host, check_read, check_write, is_trusted
from core.errors import AccessDenied
from core.settings import Settings

LOCAL = {"host": "127.0.0.1:8501"}
TOKEN = "a-token-that-nobody-guesses"
OPEN = Settings()
HOSTED = Settings(server_address="0.0.0.0")
GUARDED = Settings(server_address="0.0.0.0", api_token=TOKEN)
SIGNED = f"AWS4-HMAC-SHA256 Credential={TOKEN}/20261124/us-east-1/xray/aws4_request, SignedHeaders=host, Signature=0"


def refused(check, headers, settings, **options) -> int | None:
    try:
        check(caller(headers), settings, **options)
    except AccessDenied as denied:
        return denied.status
    return None


@pytest.mark.parametrize(
    ("headers", "settings", "status"),
    [
        pytest.param(LOCAL, OPEN, None, id="this machine"),
        pytest.param({"Host": "[::1]:8501"}, OPEN, None, id="this machine, IPv6"),
        pytest.param({"host": "localhost"}, OPEN, None, id="localhost"),
        pytest.param({**LOCAL, "origin": "http://127.0.0.1:8501"}, OPEN, None, id="our own page"),
        pytest.param({**LOCAL, "origin": "http://evil.example"}, OPEN, 403, id="a foreign page"),
        pytest.param({**LOCAL, "origin": "http://127.0.0.1:9999"}, OPEN, 403, id="another port of this machine"),
        pytest.param({**LOCAL, "origin": "null"}, OPEN, 403, id="a sandboxed page"),
        pytest.param({**LOCAL, "Sec-Fetch-Site": "cross-site"}, OPEN, 403, id="cross-site"),
        pytest.param({**LOCAL, "Sec-Fetch-Site": "same-site"}, OPEN, 403, id="same-site"),
        pytest.param({**LOCAL, "Sec-Fetch-Site": "same-origin"}, OPEN, None, id="same-origin"),
        pytest.param({"host": "evil.example"}, OPEN, 403, id="a rebound name"),
        pytest.param({"host": "localhost.evil.example"}, OPEN, 403, id="a name that begins like this machine"),
        pytest.param({**LOCAL, "x-forwarded-for": "1.2.3.4"}, OPEN, 403, id="through a proxy"),
        pytest.param({**LOCAL, "forwarded": "for=1.2.3.4"}, OPEN, 403, id="through a proxy, RFC 7239"),
        pytest.param(LOCAL, HOSTED, 403, id="hosted without a token"),
        pytest.param(LOCAL, GUARDED, 401, id="no token given"),
        pytest.param({"host": "x.example", "authorization": f"Bearer {TOKEN}"}, GUARDED, None, id="the token"),
        pytest.param({"host": "x.example", "authorization": f"bearer {TOKEN}"}, GUARDED, None, id="scheme in any case"),
        pytest.param({**LOCAL, "authorization": "Bearer wrong"}, GUARDED, 401, id="a wrong token"),
        pytest.param({**LOCAL, "authorization": SIGNED}, GUARDED, 401, id="SigV4 where it does not count"),
    ],
)
def test_writing(headers, settings, status):
    assert refused(check_write, headers, settings) == status


def test_the_access_key_id_is_the_token_at_the_xray_door():
    assert refused(check_write, {**LOCAL, "authorization": SIGNED}, GUARDED, xray=True) is None
    assert refused(check_write, {**LOCAL, "authorization": SIGNED.replace(TOKEN, "AKID")}, GUARDED, xray=True) == 401


def test_reading_needs_a_loopback_host_only_while_bound_to_loopback():
    assert refused(check_host, {"host": "evil.example:8501"}, OPEN) == 403
    assert refused(check_read, {"host": "evil.example:8501"}, OPEN) == 403
    assert refused(check_read, {"host": "tracecast.example"}, HOSTED) is None


def test_reading_over_http_needs_the_token_when_pages_need_a_login():
    login = Settings(server_address="0.0.0.0", api_token=TOKEN, login=True)

    assert refused(check_read, LOCAL, login) == 401
    assert refused(check_read, {**LOCAL, "authorization": f"Bearer {TOKEN}"}, login) is None
    assert refused(check_read, {**LOCAL, "authorization": "Bearer "}, Settings(login=True)) == 401


def test_details_of_errors_are_for_this_machine_and_for_holders_of_the_token():
    assert is_trusted(caller(LOCAL), OPEN)
    assert not is_trusted(caller({**LOCAL, "x-real-ip": "1.2.3.4"}), OPEN)
    assert not is_trusted(caller(LOCAL), GUARDED)
    assert is_trusted(caller(LOCAL, token=TOKEN), GUARDED)


def test_the_token_is_not_shown_when_a_caller_is_printed():
    assert TOKEN not in repr(caller({"authorization": f"Bearer {TOKEN}"}))
    assert TOKEN not in repr(GUARDED)
