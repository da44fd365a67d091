"""The signature, computed again as a receiver would, and the addresses that a webhook may not have."""

import hashlib

import pytest

from realtime.alerts.signing import check_url, headers_of, is_public


def hmac_by_hand(key: bytes, message: bytes) -> str:
    """RFC 2104, without our library's module."""
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()


def test_the_signature_covers_the_time_and_the_body() -> None:
    headers = headers_of("whsec_short", 1_700_000_000, "key", b'{"id":1}')
    assert headers["Livefolio-Timestamp"] == "1700000000"
    assert headers["Livefolio-Signature"] == "v1=" + hmac_by_hand(b"whsec_short", b'1700000000.{"id":1}')
    assert headers["Livefolio-Delivery"] == "key"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://",
        "https://user:password@example.com/",
        "https://localhost/",
        "https://redis/",
        "https://10.0.0.1/",
        "https://127.0.0.1:8443/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://printer.local/",
        "https://example.com/#fragment",
        "https://example.com/a b",
        "https://example.com:port/",
        "https://[nonsense/",
        "javascript:alert(1)",
    ],
)
def test_an_address_that_is_not_public_and_https_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        check_url(url, allow_private=False)
    assert "password" not in str(raised.value).replace("user name and password", "")
    assert not (rest := url.partition("://")[2]) or rest not in str(raised.value)


def test_a_public_address_is_accepted() -> None:
    check_url("https://hooks.example.com:8443/a/b?c=d", allow_private=False)
    check_url("http://127.0.0.1:9000/", allow_private=True)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("::127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False),
        ("64:ff9b:1::a00:1", False),
        ("5f00::1", False),
    ],
)
def test_which_addresses_are_public(address: str, expected: bool) -> None:
    assert is_public(address) is expected
