"""What a webhook is sent and how it is signed, and which addresses it may be sent to.

Pure. The signature is HMAC-SHA256 over `timestamp.body`, so that whoever has the secret can tell that the body is ours
and how old it is.
"""

import hashlib
import hmac
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

_TRANSLATED = ip_network("64:ff9b::/96")  # an IPv4 address behind it
# All of the internet that has IPv6; what is outside may be a way into a private network that nobody has named yet.
_UNICAST = ip_network("2000::/3")


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Returns the value of the header `Livefolio-Signature`."""
    signed = b"%d.%b" % (timestamp, body)
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def headers_of(secret: str, timestamp: int, key: str, body: bytes) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Livefolio-Delivery": key,
        "Livefolio-Timestamp": str(timestamp),
        "Livefolio-Signature": sign(secret, timestamp, body),
    }


def check_url(url: str, *, allow_private: bool) -> None:
    """Raises ValueError, which does not repeat the address, unless a webhook may be there as far as its text tells."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("expected an https:// address, was none") from error
    schemes = ("https", "http") if allow_private else ("https",)
    if parts.scheme not in schemes or not host:
        raise ValueError(f"expected an {schemes[-1]}:// address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected an address without a user name and password")
    if parts.fragment or not url.isascii() or any(character <= " " for character in url):
        raise ValueError("expected an address of printable ASCII characters without a #")
    if allow_private:
        return
    try:
        is_public_text = is_public(host)
    except ValueError:
        is_public_text = "." in host and not host.endswith((".local", ".internal", ".localhost"))
    if not is_public_text:
        raise ValueError("expected a public address, was one of a private network")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet at large; raises ValueError if it is none."""
    ip = ip_address(address.partition("%")[0])
    inner = _within(ip)
    if inner is not None:
        return is_public(str(inner))
    if isinstance(ip, IPv6Address) and ip not in _UNICAST:
        return False
    return ip.is_global and not ip.is_multicast


def _within(ip: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if any."""
    if not isinstance(ip, IPv6Address):
        return None
    if ip in _TRANSLATED:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
