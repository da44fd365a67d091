"""The house's own rules: imports go one way, pure modules stay pure, an opening sentence each, no secret setting."""

import ast
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ["config", "realtime", "portfolio", "assets"]
PURE = [
    "assets/exact.py",
    "assets/exchanges.py",
    "assets/hours.py",
    "assets/market.py",
    "assets/overrides.py",
    "assets/rates.py",
    "assets/sessions.py",
    "assets/splits.py",
    "portfolio/allocation.py",
    "portfolio/arithmetic.py",
    "portfolio/books.py",
    "portfolio/columns.py",
    "portfolio/corporate_actions.py",
    "portfolio/daily.py",
    "portfolio/ledger.py",
    "portfolio/lots.py",
    "portfolio/positions.py",
    "portfolio/receipts.py",
    "portfolio/reports.py",
    "portfolio/returns.py",
    "portfolio/rows.py",
    "portfolio/valuation.py",
    "portfolio/windows.py",
    "portfolio/wire.py",
    "realtime/alerts/rules.py",
    "realtime/alerts/signing.py",
    "realtime/price_feed/line_alerts.py",
    "realtime/protocol.py",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "portfolio/imports").glob("*.py"))),
]
# The runner and what feeds are made of; every other file there is a vendor's.
NOT_VENDORS = {"__init__.py", "base.py", "runner.py"}
# Inside realtime, each may import those after it; what is not named here is used by all of them.
REALTIME = (
    "consumers", "writer", "live_portfolio", "hub", "topics", "connections", "outbox", "backlog", "streams",
    "frames", "protocol",
)  # fmt: skip
WEB_SIDE = {
    "alert_frames",
    "hub",
    "consumers",
    "live_portfolio",
    "topics",
    "connections",
    "outbox",
    "presence",
    "last_values",
    "writer",
    "account_events",
    "awaited",
    "backlog",
    "stored_books",
    "streams",
    "welcome",
}
LONGEST_FILE = 500
READERS = {"text", "words", "boolean", "integer", "number"}


def sources() -> list[Path]:
    """Every file of ours that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.js", "*.html", "*.css", "*.md", "run", "test"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    paths = [ROOT / name for name in listed if "vendor/" not in name and "/migrations/" not in name]
    return [path for path in paths if path.is_file()]


def product() -> list[Path]:
    return [
        ROOT / module
        for package in ORDER
        for module in modules(package)
        if "/migrations/" not in module and (ROOT / module).read_text().strip()
    ]


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


def realtime_imports(path: str) -> set[str]:
    """The modules and packages of realtime that one module imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("realtime.")}


@pytest.mark.parametrize("package", ORDER)
def test_imports_go_one_way(package: str) -> None:
    above = set(ORDER[: ORDER.index(package)])
    wrong = {module: packages(module) & above for module in modules(package)}
    assert not {module: names for module, names in wrong.items() if names}


@pytest.mark.parametrize("module", PURE)
def test_arithmetic_and_protocol_know_no_django(module: str) -> None:
    assert not packages(module) & {"django", "channels", "redis", "rest_framework", "asgiref"}


def test_only_the_command_that_stores_sessions_loads_their_library() -> None:
    """It brings pandas, 60 MB in each process."""
    users = {
        module
        for package in ORDER
        for module in modules(package)
        if packages(module) & {"exchange_calendars", "pandas", "numpy"}
    }
    assert users == {"assets/management/commands/update_calendars.py"}


def test_nothing_but_its_own_process_imports_beancount() -> None:
    """It is GPL-2.0-only; an oracle of the tests, in an environment of its own."""
    users = {
        module
        for folder in (*ORDER, "benchmarks", "tests")
        for module in modules(folder)
        if "beancount" in packages(module)
    }
    assert users == {"tests/oracles/beancount_fifo.py"}


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


@pytest.mark.parametrize("module", REALTIME)
def test_the_web_side_imports_downwards_only(module: str) -> None:
    above = set(REALTIME[: REALTIME.index(module)])
    assert not realtime_imports(f"realtime/{module}.py") & above


def test_feeds_and_sockets_know_each_other_only_through_the_bus() -> None:
    for path in modules("realtime/price_feed"):
        assert not realtime_imports(path) & WEB_SIDE, path
    for module in WEB_SIDE:
        assert "price_feed" not in realtime_imports(f"realtime/{module}.py"), module


@pytest.mark.parametrize("path", product(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_one_to_six_lines_of_what_it_owns(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, "expected a docstring"
    assert len(docstring.splitlines()) <= 6
    assert docstring.splitlines()[0].endswith((".", "?", ":", ",", ";")) or len(docstring.splitlines()) > 1


def test_no_file_is_too_long_to_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in product()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_nothing_is_left_to_be_done_later() -> None:
    marks = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
    found = [str(path.relative_to(ROOT)) for path in sources() if marks.search(path.read_text())]
    assert found == []


def test_the_browser_tests_are_all_in_the_folder_that_is_asked_for_them() -> None:
    marked = re.compile(r"^(?:pytestmark = |@)pytest\.mark\.browser$", re.MULTILINE)
    found = {name for name in modules("tests") if marked.search((ROOT / name).read_text())}
    assert found == {name for name in modules("tests/browser") if "/test_" in name}


def declared_settings() -> set[str]:
    """Every variable that is read from the environment through `config.settings.environment`."""
    found: set[str] = set()
    for path in product():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            reader = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0]
            if (
                reader in READERS
                and isinstance(name, ast.Constant)
                and isinstance(name.value, str)
                and re.fullmatch(r"[A-Z][A-Z0-9_]+", name.value)
            ):
                found.add(name.value)
    return found


def test_every_setting_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))

    assert len(declared_settings()) > 30
    assert declared_settings() - named == set()


def test_operations_and_the_example_list_the_same_settings() -> None:
    example = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    documented = re.findall(
        r"^\| `([A-Z][A-Z0-9_]+)` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE
    )

    assert sorted(documented) == sorted(example)


def test_every_line_of_the_example_is_commented_out_and_explained() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    for before, line in pairwise(lines):
        if re.match(r"^#[A-Z][A-Z0-9_]+=", line):
            assert before.startswith("# "), f"expected a sentence above {line}"
