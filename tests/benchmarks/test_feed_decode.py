"""The feed's benchmark plays all of a recording, with new objects each time. No time is asserted."""

from pathlib import Path

from benchmarks.feed_decode import levels, measure, products_of, read, run
from tests.vendors.frames import made_up, write_frames


def test_each_pass_begins_anew_and_ends_with_the_same_books(tmp_path: Path) -> None:
    frames = read(write_frames(tmp_path / "frames.tsv", made_up(count=200)))
    products = products_of(frames)

    passes = [run(frames, products) for _ in range(2)]

    books = [levels(feed, products) for feed, _, _ in passes]
    assert books[0] == books[1] and set(books[0]) == set(products)
    assert passes[0][2] == passes[1][2] > len(products), "flushes on the way"
    assert all(line.price is not None for line in passes[0][1].lines.values())


def test_without_cryptofeed_ours_is_measured_alone_and_says_so(tmp_path: Path) -> None:
    frames = made_up(count=20)

    result = measure(write_frames(tmp_path / "frames.tsv", frames), str(tmp_path / "no python"), rounds=1)

    assert result.frames == len(frames)
    assert result.ours_frames_per_second > 0
    assert (result.cryptofeed_frames_per_second, result.ratio) == (None, None)
    assert "no cryptofeed" in result.note
