"""Fills a new database with Yahoo's past, twice, and prints what it then holds: yahoo_history.py PACKAGES FOLDER.

PACKAGES is a site-packages with yfinance, looked at after our own; the chart comes from the loopback server.
"""

import asyncio
import json
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
packages, folder = sys.argv[1:]
sys.path.insert(0, str(ROOT))
sys.path.append(packages)

from tests.vendors.yahoo import YahooServer, chart, widened  # noqa: E402

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)


def served() -> dict[str, object]:
    """Around the clock, with a split five days ago."""
    days = [
        (
            TODAY - back * DAY,
            (widened("125"), widened("126"), widened("124"), widened(f"125.{back - 1:02d}")),
            1000,
        )
        for back in range(40, 0, -1)
    ]
    return chart(
        "AAPL",
        days,
        price=125.0,
        at=TODAY,
        zone="UTC",
        splits=[(TODAY - 5 * DAY, 4.0, 1.0)],
    )


def serve(ready: threading.Event, found: list[str]) -> None:
    async def run() -> None:
        async with YahooServer({"AAPL": served()}) as server:
            found.append(server.http_url)
            ready.set()
            await asyncio.Event().wait()

    asyncio.run(run())


ready, found = threading.Event(), list[str]()
threading.Thread(target=serve, args=(ready, found), daemon=True).start()
assert ready.wait(30)
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "config.settings.demo",
    "STATE_DIR": folder,
    "XDG_CACHE_HOME": folder,
    "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
    "REDIS_URL": f"unix://{folder}/nobody.sock",
    "YAHOO_URL": found[0],
}

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from assets.fields import plain  # noqa: E402
from assets.models import Asset, FeedSymbol, PriceBar  # noqa: E402

call_command("migrate", verbosity=0)
asset = Asset.objects.create(symbol="AAPL", currency="USD")
FeedSymbol.objects.create(asset=asset, source="yahoo", symbol="AAPL")
told = []
for _ in range(2):
    out = StringIO()
    call_command("update_asset_prices", "--historical", "--days", "7", stdout=out, stderr=out)
    told.append(out.getvalue())
asset.refresh_from_db()
closes = [plain(bar.close) for bar in PriceBar.objects.filter(asset=asset).order_by("start")]
print(
    json.dumps({"first": told[0], "second": told[1], "closes": closes, "price": asset.current_price}),
    flush=True,
)
os._exit(0)
