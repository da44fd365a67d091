"""What to say where the library of a source is not installed, because few people need it."""

from realtime.price_feed.sources import SourceError


def expect_library(source: str, library: str, *, is_installed: bool, extra: str) -> None:
    """Raises SourceError with what to install, unless it is."""
    if not is_installed:
        raise SourceError(
            f"{source}: expected the package {library}; "
            f".venv/bin/python -m pip install --no-deps -r requirements-{extra}.txt installs it"
        )
