"""What Upstox's limits leave of what is wanted: nobody loses a price because somebody else wants depth."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.feeds.base import Mode
from realtime.feeds.upstox_limits import ALONE, BESIDE_OTHERS, allot

MODES: list[Mode] = ["ltpc", "quote", "full", "full_d30", "option_greeks"]


def wants(**counts: int) -> dict[str, Mode]:
    """So many instruments of each mode."""
    return {f"{mode}{number}": mode for mode in MODES for number in range(counts.get(mode, 0))}


def shares(**counts: int) -> tuple[Counter[str], int, int]:
    allotment = allot(wants(**counts))
    return Counter(allotment.modes.values()), len(allotment.lowered), len(allotment.refused)


def test_one_mode_alone_may_be_used_to_its_own_limit() -> None:
    assert shares(ltpc=5000) == (Counter(ltpc=5000), 0, 0)
    assert shares(full=2000) == (Counter(full=2000), 0, 0)
    assert shares(quote=1000, option_greeks=1000) == (Counter(full=2000), 0, 0)
    assert shares(full_d30=50) == (Counter(full_d30=50), 0, 0)


def test_beyond_the_limit_of_the_cheapest_mode_nobody_is_let_in() -> None:
    assert shares(ltpc=5003) == (Counter(ltpc=5000), 0, 3)
    assert allot(wants(ltpc=5001)).refused == ("ltpc5000",)


def test_beside_others_each_mode_has_less_room() -> None:
    assert shares(ltpc=2000, full=1500) == (Counter(ltpc=2000, full=1500), 0, 0)
    assert shares(ltpc=1000, full=1700) == (Counter(ltpc=1200, full=1500), 200, 0)


def test_who_comes_too_late_for_depth_keeps_a_price() -> None:
    allotment = allot(wants(full=2001))
    assert Counter(allotment.modes.values()) == Counter(full=1500, ltpc=501)
    assert allotment.lowered == tuple(f"full{number}" for number in range(1500, 2001))


def test_one_watcher_sends_no_instrument_away() -> None:
    assert shares(ltpc=2001, full=1) == (Counter(ltpc=2000, full=2), 0, 0)
    assert shares(ltpc=4999, full=1) == (Counter(ltpc=5000), 1, 0)


def test_an_option_beyond_the_limit_keeps_its_greeks() -> None:
    assert shares(full=1500, option_greeks=100, ltpc=10) == (
        Counter(full=1500, option_greeks=100, ltpc=10),
        100,
        0,
    )


def test_thirty_levels_go_to_few_and_five_to_the_others() -> None:
    assert shares(full_d30=60) == (Counter(full_d30=50, full=10), 10, 0)
    assert Counter(allot(wants(full_d30=3), has_d30=False).modes.values()) == Counter(full=3)


@settings(max_examples=30)
@given(
    st.fixed_dictionaries(
        {mode: st.sampled_from([0, 1, 49, 51, 1499, 1501, 1999, 2001, 3501, 5001]) for mode in MODES}
    )
)
def test_no_limit_is_ever_passed_and_nobody_is_forgotten(counts: dict[str, int]) -> None:
    wanted = wants(**counts)
    modes, lowered, refused = allot(wanted)
    assert modes.keys() | set(refused) == wanted.keys() and not modes.keys() & set(refused)
    assert set(lowered) <= modes.keys()
    used = Counter(modes.values())
    room = ALONE if len(used) == 1 else BESIDE_OTHERS
    assert all(count <= room[mode] for mode, count in used.items())
    assert not refused or len(modes) >= 5000
