"""docs/adding-a-feed.md: its example is run as it stands, and passes the suite that every feed passes."""

import asyncio
import importlib
import inspect
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from realtime.price_feed.sources import Options, SourceError
from tests.docs.page import DOCS
from tests.realtime.feeds import test_contract
from tests.realtime.feeds.contract import Entry

PAGE = (DOCS / "adding-a-feed.md").read_text()
BLOCKS = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
# In the order in which they import each other.
FILES = (
    "realtime/feeds/acme.py",
    "tests/vendors/acme.py",
    "tests/realtime/feeds/entries/acme.py",
    "realtime/price_feed/makers/acme.py",
)


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, Any]]:
    """The page's files, imported as if they lay where it says."""
    loaded: dict[str, Any] = {}
    try:
        for file in FILES:
            name = file.removesuffix(".py").replace("/", ".")
            loaded[file] = sys.modules[name] = ModuleType(name)
            exec(compile(BLOCKS[file], file, "exec"), loaded[file].__dict__)
        yield loaded
    finally:
        for module in loaded.values():
            del sys.modules[module.__name__]


@pytest.fixture
def entry(modules: dict[str, Any]) -> Entry:
    found: Entry = modules["tests/realtime/feeds/entries/acme.py"].ENTRY
    return found


def test_the_page_holds_every_file_and_they_are_of_the_length_it_says() -> None:
    assert set(BLOCKS) == set(FILES)
    lines = BLOCKS["realtime/feeds/acme.py"].splitlines()
    assert 100 < len([line for line in lines if line.strip()]) < 200
    for file, text in BLOCKS.items():
        assert max(map(len, text.splitlines())) <= 120, file


QUESTIONS = [
    name
    for name, test in vars(test_contract).items()
    if name.startswith("test_") and "entry" in inspect.signature(test).parameters
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_its_example_passes_the_suite(question: str, entry: Entry, caplog: pytest.LogCaptureFixture) -> None:
    test = getattr(test_contract, question)
    given = {"entry": entry, "caplog": caplog}
    asked = test(**{name: given[name] for name in inspect.signature(test).parameters})
    if inspect.iscoroutine(asked):
        asyncio.run(asked)


def test_its_server_can_be_run_by_name(modules: dict[str, Any]) -> None:
    vendor = modules["tests/vendors/acme.py"]
    parser = ArgumentParser()
    vendor.add_options(parser)
    server = vendor.server_of(parser.parse_args(["--fault", "mute:3"]))
    assert server.fault.kind == "mute" and "refuse-auth" in (parser.epilog or "")


def test_its_maker_makes_a_source_and_names_what_is_missing(
    modules: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = modules["realtime/price_feed/makers/acme.py"]
    settings = SimpleNamespace(ACME_API_KEY="", ACME_SYMBOLS=["AAA-USD"], ACME_WEBSOCKET_URL="ws://unused")
    monkeypatch.setattr(maker, "settings", settings)
    with pytest.raises(SourceError, match="acme: expected ACME_API_KEY"):
        maker.acme(Options())
    settings.ACME_API_KEY = "key"
    source = maker.acme(Options())
    assert [(new.symbol, new.currency) for new in source.assets] == [("AAA-USD", "USD")]
    assert maker.DECODERS["acme"].feed().source == source.name == "acme"


def test_what_the_page_names_is_there() -> None:
    """A path, or a module with the name that stands after it."""
    root = DOCS.parent
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|md|txt))`", PAGE))
    assert {path for path in named if "acme" not in path and not (root / path).exists()} == set()
    assert hasattr(importlib.import_module("realtime.feeds.fetch"), "fetch")
    assert Path(root / "benchmarks/decoders.py").exists()
