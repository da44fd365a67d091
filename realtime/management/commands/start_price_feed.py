"""`manage.py start_price_feed`: follows the sources until it is stopped."""

import argparse
import asyncio
import logging
import math
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from realtime.feeds.base import FrameRecorder
from realtime.feeds.unavailable import UnavailableFeed
from realtime.price_feed.process import PriceFeed
from realtime.price_feed.sources import Options, Source, SourceError, decoder_of, open_sources


def positive_seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"expected a number above 0, was {text!r}")
    return value


def positive_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) < 10**9:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, was {text!r}")
    return int(text)


class Command(BaseCommand):
    help = "Follows price sources, and sends their prices to Redis, to the browsers and to the database."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--source",
            action="append",
            dest="sources",
            metavar="S",
            help="a source to follow; may be repeated (default: PRICE_FEED_SOURCES)",
        )
        parser.add_argument(
            "--interval",
            type=positive_seconds,
            default=settings.REALTIME_UPDATE_INTERVAL,
            metavar="SECONDS",
            help="between two polls of a polled source, and between two status lines (default: %(default)s)",
        )
        parser.add_argument(
            "--batch-size",
            type=positive_count,
            default=settings.REALTIME_BATCH_SIZE,
            metavar="N",
            help="how many symbols a polled source is asked for at once (default: %(default)s)",
        )
        parser.add_argument("--verbose", action="store_true", help="log every flush")
        parser.add_argument(
            "--record",
            metavar="FILE",
            help="write the frames of the streamed source as they arrive; of several, into a folder",
        )
        parser.add_argument(
            "--recording", metavar="FILE", help="what the source replay plays (default: REPLAY_FILE)"
        )
        parser.add_argument(
            "--speed", type=positive_seconds, metavar="N", help="replay so many times as fast"
        )
        parser.add_argument("--loop", action="store_true", default=None, help="replay again and again")

    def handle(self, *args: Any, **options: Any) -> None:
        names = list(dict.fromkeys(options["sources"] or settings.PRICE_FEED_SOURCES))
        if not names:
            raise CommandError("expected a source: --source S or PRICE_FEED_SOURCES")
        if options["verbose"]:
            logging.getLogger("personal_finance.realtime").setLevel(logging.DEBUG)
        replay = Options(options["recording"] or "", options["speed"], options["loop"])
        if "replay" not in names and replay != Options():
            raise CommandError("--recording, --speed and --loop belong to --source replay")
        try:
            sources = open_sources(names, replay)
        except SourceError as error:
            raise CommandError(str(error)) from error
        with ExitStack() as open_files:
            recorders = self._recorders(options["record"], sources, open_files)
            run(PriceFeed, sources, options["interval"], options["batch_size"], recorders)

    @staticmethod
    def _recorders(
        path: str | None, sources: list[Source], open_files: ExitStack
    ) -> dict[str, FrameRecorder]:
        if path is None:
            return {}
        names = [source.name for source in sources if is_recorded(source)]
        if not names:
            raise CommandError("--record takes a streamed source, such as --source coinbase")
        from realtime.feeds.recorder import Recorder

        try:
            return {
                name: open_files.enter_context(
                    Recorder(
                        file,
                        largest_file_bytes=settings.RECORD_MAX_BYTES,
                        files_kept=settings.RECORD_FILES,
                    )
                )
                for name, file in recordings(path, names).items()
            }
        except OSError as error:
            raise CommandError(f"--record: cannot write {path}: {error.strerror}") from error


def is_recorded(source: Source) -> bool:
    """Whether it has frames of a vendor, now or when it can be set up."""
    streams = source.name == "replay" or decoder_of(source.name) is not None
    return streams and not isinstance(source.feed, UnavailableFeed)


def recordings(path: str, names: Sequence[str]) -> dict[str, Path]:
    """Returns the file of each source: the one that was named, or one each in a folder, which is made."""
    folder = Path(path)
    if len(names) == 1 and not folder.is_dir() and not path.endswith("/"):
        return {names[0]: folder}
    folder.mkdir(exist_ok=True)
    return {name: folder / f"{name}.tsv" for name in names}


def run(
    make: type[PriceFeed],
    sources: list[Source],
    interval: float,
    batch_size: int,
    recorders: dict[str, FrameRecorder],
) -> None:
    """Runs a price feed on the fastest loop there is, until a signal stops it."""

    async def main() -> None:
        feed = make(sources, interval=interval, batch_size=batch_size, recorders=recorders)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, feed.stop)
        await feed.run()

    try:
        from uvloop import new_event_loop
    except ImportError:  # not on Windows
        asyncio.run(main())
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
