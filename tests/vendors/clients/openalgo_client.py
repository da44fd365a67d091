"""OpenAlgo's own client: openalgo_client.py WS_URL KEY SYMBOL..., each EXCHANGE:SYMBOL"""

import sys
from typing import Any

from openalgo import api
from saying import say, wait

url, key, *symbols = sys.argv[1:]
instruments = [dict(zip(("exchange", "symbol"), symbol.split(":"), strict=True)) for symbol in symbols]
client = api(api_key=key, host="http://127.0.0.1:1", ws_url=url)


def heard(mode: str) -> Any:
    return lambda data: say(mode, data)


if not client.connect():
    say("refused")
    sys.exit()
client.subscribe_quote(instruments, on_data_received=heard("quote"))
client.subscribe_depth(instruments, on_data_received=heard("depth"))
client.subscribe_ltp(instruments, on_data_received=heard("ltp"))
say("subscribed")
wait()
