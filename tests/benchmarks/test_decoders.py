"""The decoders' benchmark takes the sessions of the contract suite. No time is asserted."""

import pytest

from benchmarks.decoders import Rate, main, rate_of
from tests.realtime.feeds.contract import entries

MEASURED = [entry for entry in entries() if entry.frames_per_second]


@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: entry.name)
def test_every_vendors_session_goes_through_its_decoder(entry: object) -> None:
    assert rate_of(entry, short=True).frames_per_second > 0  # type: ignore[arg-type]


def test_it_prints_a_line_for_each_and_refuses_other_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coinbase", "--short"]) == 0
    assert "frames/s, 100,000 expected" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["nope"])
    assert "expected a name of" in capsys.readouterr().err
    assert not Rate("slow", 99.0, 100).is_reached
