"""Which mode a vendor is asked for: the richest that anybody wants and that it has."""

from collections.abc import Collection

import pytest

from realtime.awaited import FROM_LEAST
from realtime.feeds.base import Mode
from realtime.price_feed.upstream_modes import RICHNESS, upstream_modes

ALL: tuple[Mode, ...] = ("ltpc", "quote", "full", "full_d30", "option_greeks")


@pytest.mark.parametrize(
    ("wanted", "modes", "base", "asked"),
    [
        ({"quote"}, ALL, "quote", None),
        ({"ltpc"}, ALL, "quote", None),
        ({"ltpc", "quote"}, ALL, "ltpc", "quote"),
        ({"quote", "full"}, ALL, "quote", "full"),
        ({"full", "full_d30"}, ALL, "quote", "full_d30"),
        ({"full_d30"}, ("ltpc", "quote", "full"), "quote", "full"),
        ({"full_d30"}, ("ltpc", "quote"), "quote", None),
        ({"full", "full_d30"}, ("ltpc", "quote", "full"), "quote", "full"),
        ({"option_greeks"}, ALL, "quote", "option_greeks"),
        ({"option_greeks", "full"}, ALL, "quote", "full"),
        ({"quote", "book"}, ALL, "quote", "full_d30"),
        ({"quote", "book"}, ("ltpc", "quote", "full"), "quote", "full"),
        ({"quote", "book"}, ("quote",), "quote", None),
        ({"quote", "trades", "bars", "notices"}, ALL, "quote", None),
    ],
)
def test_a_vendor_is_asked_for_the_richest_mode(
    wanted: set[str], modes: Collection[Mode], base: Mode, asked: Mode | None
) -> None:
    assert upstream_modes({"acme": wanted}, modes, base) == ({} if asked is None else {"acme": asked})


def test_what_is_asked_of_a_vendor_and_what_a_client_is_told_go_by_one_order() -> None:
    assert RICHNESS == FROM_LEAST and set(RICHNESS) == set(ALL)
