"""What one instrument of Polygon is called: by us, in a subscription, in a frame, and over REST.

A symbol of ours may be given with its prefix or without (`O:`, `I:`, `X:`, `C:`), a pair with `-`, `/` or nothing
between its currencies. Frames name a pair as they like; all its names lead to the symbol that we were given.
"""

from typing import Literal, get_args

Cluster = Literal["stocks", "options", "forex", "crypto", "indices"]
CLUSTERS: tuple[Cluster, ...] = get_args(Cluster)
PREFIXES: dict[Cluster, str] = {"options": "O:", "forex": "C:", "crypto": "X:", "indices": "I:"}
PAIRS: frozenset[Cluster] = frozenset({"forex", "crypto"})
# Where nothing stands between its currencies, a pair ends with the first of these that it ends with.
QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF", "BTC", "ETH")


def wire_symbols(cluster: Cluster, symbol: str) -> tuple[str, ...]:
    """Returns what it is subscribed as; of a currency pair both ways, for the vendor documents the one and the other.

    Raises:
        ValueError: no such instrument can be.
    """
    if cluster in PAIRS:
        base, quote = currencies(cluster, symbol)
        return (f"{base}/{quote}", f"{base}-{quote}") if cluster == "forex" else (f"{base}-{quote}",)
    prefix = PREFIXES.get(cluster, "")
    bare = symbol.removeprefix(prefix)
    if not bare or any(character in bare for character in ",* \t\n"):
        raise ValueError(f"expected a ticker, was {symbol[:40]!r}")
    return (prefix + bare,)


def names(cluster: Cluster, symbol: str) -> tuple[str, ...]:
    """Returns all that frames may call it."""
    if cluster not in PAIRS:
        return wire_symbols(cluster, symbol)
    base, quote = currencies(cluster, symbol)
    bare = (f"{base}-{quote}", f"{base}/{quote}", f"{base}{quote}")
    return (*bare, *(PREFIXES[cluster] + name for name in bare))


def rest_ticker(cluster: Cluster, symbol: str) -> str:
    if cluster in PAIRS:
        return PREFIXES[cluster] + "".join(currencies(cluster, symbol))
    return wire_symbols(cluster, symbol)[0]


def currencies(cluster: Cluster, symbol: str) -> tuple[str, str]:
    """Returns the base and the quote of a pair; raises ValueError unless there are two."""
    text = symbol.upper().removeprefix(PREFIXES[cluster])
    for separator in "-/":
        base, found, quote = text.partition(separator)
        if found:
            break
    else:
        quote = next((end for end in QUOTES if text.endswith(end)), text[3:] if len(text) == 6 else "")
        base = text[: len(text) - len(quote)]
    if not (base.isalnum() and quote.isalnum()):
        raise ValueError(
            f"expected a pair such as {'EUR/USD' if cluster == 'forex' else 'BTC-USD'}, was {symbol[:40]!r}"
        )
    return base, quote
