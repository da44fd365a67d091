"""Holds the house to its plan: imports go config → realtime → portfolio → assets, and some modules stay pure."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ["config", "realtime", "portfolio", "assets"]
PURE = ["assets/market.py", "portfolio/ledger.py", "portfolio/valuation.py", "realtime/protocol.py"]
# The runner and what feeds are made of; every other file there is a vendor's.
NOT_VENDORS = {"__init__.py", "base.py", "runner.py"}


def modules(folder: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py"))


def imported(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(module: str) -> set[str]:
    return {name.split(".")[0] for name in imported(module)}


@pytest.mark.parametrize("package", ORDER)
def test_imports_go_one_way(package: str) -> None:
    above = set(ORDER[: ORDER.index(package)])
    wrong = {module: packages(module) & above for module in modules(package)}
    assert not {module: names for module, names in wrong.items() if names}


@pytest.mark.parametrize("module", PURE)
def test_arithmetic_and_protocol_know_no_django(module: str) -> None:
    assert not packages(module) & {"django", "channels", "redis", "rest_framework", "asgiref"}


def test_a_feed_knows_nothing_of_redis_settings_or_browsers() -> None:
    for module in modules("realtime/feeds"):
        ours = {name for name in imported(module) if name.split(".")[0] in ORDER}
        allowed = ("assets.market", "realtime.feeds")
        assert all(name.startswith(allowed) for name in ours), (module, ours)
        if Path(module).name not in NOT_VENDORS:
            assert not packages(module) & {"django", "channels", "redis", "asgiref"}, module


def test_only_the_bus_and_portfolio_events_touch_the_channel_layer() -> None:
    users = {
        module
        for package in ORDER
        for module in modules(package)
        if any(name.startswith(("channels.layers", "channels_redis")) for name in imported(module))
    }
    assert users == {"realtime/bus.py", "portfolio/events.py"}
