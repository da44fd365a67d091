"""Coinbase's client cbpro: cbpro_client.py URL PRODUCTS CHANNELS [KEY SECRET PASSPHRASE], lists with commas"""

import sys

import cbpro
from saying import say, wait

url, products, channels, *account = sys.argv[1:]


class Client(cbpro.WebsocketClient):
    def on_open(self) -> None:
        say("open")

    def on_message(self, msg: dict[str, object]) -> None:
        say("message", msg)

    def on_error(self, e: Exception, data: object = None) -> None:
        say("error", str(e), data)

    def on_close(self) -> None:
        pass


key, secret, passphrase = account or ("", "", "")
client = Client(
    url=url,
    products=products.split(","),
    channels=channels.split(","),
    auth=bool(account),
    api_key=key,
    api_secret=secret,
    api_passphrase=passphrase,
)
client.start()
wait()
