"""What the scripts beside this one share; they run in the clients' environments, where nothing of ours can be imported.

say("quote", symbol, price)    prints ["quote", symbol, price] as one line of JSON
wait()                         waits until the test writes a line or goes away, and returns that line
"""

import json
import sys
import threading

_one_at_a_time = threading.Lock()


def say(*what: object) -> None:
    line = json.dumps(what, default=_shown)
    with _one_at_a_time:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _shown(value: object) -> object:
    fields = getattr(value, "__dict__", None)
    return fields if fields is not None else str(value)


def wait() -> str:
    return sys.stdin.readline().rstrip("\n")
