"""How one gets into Upstox: with the token on the handshake, or by an address that is asked for and serves once.

The token goes to the vendor's own servers and nowhere else, and into no message; nor does a one-time address.
"""

import msgspec
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from realtime.feeds.base import FeedError, SocketWire, Wire
from realtime.feeds.fetch import HttpError, fetch

DOMAIN = "upstox.com"
RENEW = "expected a token of today, was refused: renew it, each one ends at about 03:30 Indian time"
_UNAUTHORIZED = 401


def upstox_wire(url: str, token: str, authorize_url: str = "") -> Wire:
    """Returns the wire to a stream.

    Args:
        url: the stream's own address, which redirects whoever brings the token.
        authorize_url: where a one-time address can be asked for; if there is one, `url` is not used.
    """
    headers = {"Authorization": f"Bearer {token}"}
    if not authorize_url:
        return SocketWire(
            url, headers={**headers, "Accept": "*/*"}, domain=DOMAIN, advice={_UNAUTHORIZED: RENEW}
        )

    async def one_time_url() -> str:
        try:
            return _address(await fetch(authorize_url, headers=headers))
        except HttpError as error:
            if error.status == _UNAUTHORIZED:
                raise FeedError(f"the vendor answered with 401: {RENEW}", permanent=True) from error
            raise

    # An address that has been used or is too old is refused like a bad token, but the next one may serve.
    return SocketWire(one_time_url, permanent=())


class _Address(msgspec.Struct):
    authorized_redirect_uri: str = ""
    # What older answers call it.
    authorizedRedirectUri: str = ""


class _Authorized(msgspec.Struct):
    data: _Address


def _address(body: bytes) -> str:
    """Reads {"status":"success","data":{"authorized_redirect_uri":"wss://…/feeds?requestId=…&code=…"}}"""
    try:
        data = msgspec.json.decode(body, type=_Authorized).data
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FeedError("expected an authorized address from the vendor, was another answer") from error
    address = data.authorized_redirect_uri or data.authorizedRedirectUri
    try:
        parse_uri(address)
    except (InvalidURI, ValueError):  # whose text names the address
        raise FeedError(
            "expected an authorized ws:// or wss:// address from the vendor, was another one"
        ) from None
    return address
