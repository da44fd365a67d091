"""Names the interpreter of the oracles' Python environment."""

from pathlib import Path

import pytest

from tests.environments import CannotBuild, python_of

REQUIREMENTS = Path(__file__).parent / "requirements.txt"


def oracle_python() -> Path:
    """The interpreter of an environment that holds the pinned requirements; fails the test if there can be none."""
    try:
        return python_of(REQUIREMENTS, "oracles")
    except CannotBuild as error:
        pytest.fail(f"the oracle cannot be installed: {error}", pytrace=False)
