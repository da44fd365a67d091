"""What a web process says of itself at /metrics, in Prometheus' text format; counts there are up to a second old."""

import re
import urllib.request


def metrics_of(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def total(metrics: str, name: str, **labels: str) -> float:
    """Sums lines like `ws_closed_total{code="4000",process="…"} 50.0` over all processes."""
    lines = re.findall(rf"^{name}{{([^}}]*)}} (\S+)$", metrics, re.MULTILINE)
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(float(count) for found, count in lines if wanted <= set(found.split(",")))
