"""Settings: where they come from and what is said of a bad one."""

from pathlib import Path

import pytest

from core.errors import SettingError
from core.settings import Settings


def test_the_environment_wins_over_the_secrets_file_and_that_over_the_default():
    secrets = {"tracecast": {"HOME": "/data", "PRICE_INTERVAL_S": 5}}

    settings = Settings.load({"TRACECAST_HOME": "/mine"}, secrets)

    assert settings.home == Path("/mine")
    assert settings.price_interval_s == 5.0
    assert (settings.udp_host, settings.udp_port) == ("127.0.0.1", 2000)


def test_an_address_may_be_ipv6():
    settings = Settings.load({"TRACECAST_UDP_ADDRESS": "[::1]:2001"}, {})

    assert (settings.udp_host, settings.udp_port) == ("[::1]", 2001)


def test_regions_are_a_list():
    settings = Settings.load({"TRACECAST_AWS_REGION": "eu-west-1, us-east-1,eu-west-1"}, {})

    assert settings.aws_regions == ("eu-west-1", "us-east-1")
    assert Settings.load({}, {}).aws_regions == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("UDP_ADDRESS", "2000"),
        ("UDP_ADDRESS", "127.0.0.1:99999"),
        ("PIPELINE", "maybe"),
        ("PRICE_API", "ftp://example"),
        ("PRICE_INTERVAL_S", "0"),
        ("PRICE_INTERVAL_S", "nan"),
        ("SOURCE", "elsewhere"),
        ("AWS_REGION", "Ireland"),
        ("AWS_REGION", ","),
        ("XRAY_ENDPOINT", "127.0.0.1:9000"),
        ("PULL_MAX_TRACES_PER_DAY", "many"),
        ("SAMPLING_RATE", "2"),
        ("RETENTION_DAYS", "a month"),
        ("RETENTION_DAYS", "99999999999"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_bad_value_is_named_with_what_would_do(name, text):
    with pytest.raises(SettingError) as refusal:
        Settings.load({f"TRACECAST_{name}": text}, {})

    assert str(refusal.value).startswith(f"TRACECAST_{name} is '{text}': expected ")


def test_secrets_without_the_heading_are_told():
    with pytest.raises(SettingError, match=r"expected the heading \[tracecast\]"):
        Settings.load({}, {"tracecast": "off"})


def test_a_bad_token_is_not_repeated():
    with pytest.raises(SettingError) as refusal:
        Settings.load({"TRACECAST_API_TOKEN": "two words"}, {})

    assert "two words" not in str(refusal.value)
