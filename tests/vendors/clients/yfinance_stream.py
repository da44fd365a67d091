"""Yahoo's streaming socket through yfinance's own client: yfinance_stream.py URL SYMBOL..."""

import sys

from saying import say
from yfinance import WebSocket

url, *symbols = sys.argv[1:]
with WebSocket(url=url, verbose=False) as socket:
    socket.subscribe(symbols)
    socket.listen(lambda message: say("message", message))
