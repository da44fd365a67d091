"""Runs a stand-in vendor: `python -m tests.vendors coinbase --port 9001 --recording FILE`."""

import argparse
import asyncio
import math
import signal
import sys
from pathlib import Path

from tests.vendors.coinbase import CoinbaseExchange, Fault
from tests.vendors.frames import made_up, read_frames


def main() -> int:
    options = _options()
    try:
        frames = read_frames(options.recording) if options.recording else made_up()
        Fault(options.fault)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    exchange = CoinbaseExchange(
        frames,
        port=options.port,
        speed=options.speed,
        loop=options.loop,
        fault=options.fault,
        credentials=(options.key, options.secret, options.passphrase) if options.key else None,
    )
    try:
        asyncio.run(_serve(exchange))
    except OSError as error:
        print(f"error: cannot listen on port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.vendors", description=__doc__)
    vendors = parser.add_subparsers(dest="vendor", required=True)
    coinbase = vendors.add_parser(
        "coinbase",
        help="Coinbase Exchange WebSocket feed",
        epilog=Fault.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    coinbase.add_argument("--port", type=int, default=0, help="0: any free one; it is printed")
    coinbase.add_argument("--recording", type=Path, help="what to play; made-up frames when left out")
    coinbase.add_argument("--speed", type=_speed, default=1.0, help="2: twice as fast; inf: at once")
    coinbase.add_argument("--loop", action="store_true", help="begin again at the end")
    coinbase.add_argument("--fault", default="", metavar="KIND[:NUMBER]", help="what goes wrong; see below")
    coinbase.add_argument("--key", default="", help="accept an account with this API key")
    coinbase.add_argument("--secret", default="", help="its secret, base64")
    coinbase.add_argument("--passphrase", default="")
    return parser.parse_args()


def _speed(text: str) -> float:
    speed = float(text)
    if not speed > 0 or math.isnan(speed):
        raise argparse.ArgumentTypeError(f"expected a speed above 0, was {text}")
    return speed


async def _serve(exchange: CoinbaseExchange) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with exchange:
        print(f"ready port={exchange.port}", flush=True)
        end = asyncio.create_task(_say_the_end(exchange))
        await stop.wait()
        end.cancel()


async def _say_the_end(exchange: CoinbaseExchange) -> None:
    await exchange.finished.wait()
    print("finished", flush=True)


if __name__ == "__main__":
    sys.exit(main())
