"""Runs a stand-in vendor: `python -m tests.vendors coinbase --port 9001 --recording FILE`."""

import argparse
import asyncio
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.vendors.server import VendorServer


def main() -> int:
    vendors = names()
    parser = argparse.ArgumentParser(prog="python -m tests.vendors", description=__doc__)
    subparsers = parser.add_subparsers(dest="vendor", required=True)
    # Only the one that is asked for is imported, and with it what only it needs.
    for name in vendors:
        subparser = subparsers.add_parser(
            name, help=(summary := _summary(vendors[name])), description=summary
        )
        if name in sys.argv[1:2]:
            import_module(f"tests.vendors.{name}").add_options(subparser)
    options = parser.parse_args()
    try:
        server = import_module(f"tests.vendors.{options.vendor}").server_of(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(server))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        print(f"error: cannot listen on port {options.port}: {reason}", file=sys.stderr)
        return 1
    return 0


def names() -> dict[str, str]:
    """Returns every vendor that there is a server of, with its module's text."""
    texts = {path.stem: path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))}
    return {name: text for name, text in texts.items() if "\ndef server_of(" in text}


def _summary(text: str) -> str:
    return text.lstrip('"').partition("\n")[0].rstrip('"')


async def _serve(server: VendorServer[Any]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(f"ready port={server.port}", flush=True)
        end = asyncio.create_task(_say_the_end(server))
        await stop.wait()
        end.cancel()


async def _say_the_end(server: VendorServer[Any]) -> None:
    await server.finished.wait()
    print("finished", flush=True)


if __name__ == "__main__":
    sys.exit(main())
