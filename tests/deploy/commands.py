"""Checks a command line of a deployment file against the command that it starts."""

from collections.abc import Sequence

from django.core.management import get_commands, load_command_class


def assert_command_parses(words: Sequence[str]) -> None:
    """Takes what follows the interpreter: `manage.py NAME FLAGS…`."""
    script, name, *flags = words
    assert script == "manage.py"
    package = get_commands()[name]
    command = load_command_class(package, name) if isinstance(package, str) else package
    command.create_parser("manage.py", name).parse_args(flags)
