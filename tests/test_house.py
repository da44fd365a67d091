"""The house's own rules: the order of the real-time modules, an opening sentence each, no setting kept secret."""

import ast
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.test_imports import ORDER, ROOT, imported, modules

# Inside realtime, each may import those after it; what is not named here is used by all of them.
REALTIME = ("consumers", "live_portfolio", "hub", "topics", "connections", "outbox", "protocol")
WEB_SIDE = {
    "hub",
    "consumers",
    "live_portfolio",
    "topics",
    "connections",
    "outbox",
    "presence",
    "last_values",
}
FEED_SIDE = {"batcher", "bars", "write_behind", "feed_store", "history", "price_feed", "price_update"} | {
    path.stem for path in (ROOT / "realtime").glob("source*.py")
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


def realtime_imports(module: str) -> set[str]:
    """The modules of realtime that one of them imports."""
    names = imported(f"realtime/{module}.py")
    return {name.split(".")[1] for name in names if name.startswith("realtime.")} - {module}


@pytest.mark.parametrize("module", REALTIME)
def test_the_web_side_imports_downwards_only(module: str) -> None:
    above = set(REALTIME[: REALTIME.index(module)])
    assert not realtime_imports(module) & above


def test_feeds_and_sockets_know_each_other_only_through_the_bus() -> None:
    for module in FEED_SIDE:
        assert not realtime_imports(module) & WEB_SIDE, module
    for module in WEB_SIDE:
        assert not realtime_imports(module) & FEED_SIDE, module


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


def test_every_line_of_the_example_is_commented_out_and_explained() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    for before, line in pairwise(lines):
        if re.match(r"^#[A-Z][A-Z0-9_]+=", line):
            assert before.startswith("# "), f"expected a sentence above {line}"
