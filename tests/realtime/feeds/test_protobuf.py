"""What protoc made is of the `.proto` files as they are now."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import FileDescriptor

from realtime.feeds import upstox_v2_pb2, upstox_v3_pb2

FEEDS = Path(upstox_v3_pb2.__file__).parent
FIELD = re.compile(r"^\s+(?:repeated )?[\w.<>, ]+? (\w+) = (\d+);", re.MULTILINE)
VALUE = re.compile(r"^  (\w+) = (\d+);", re.MULTILINE)


def made(file: FileDescriptor) -> dict[str, dict[str, int]]:
    fields = {
        name: {field.name: field.number for field in message.fields}
        for name, message in file.message_types_by_name.items()
    }
    return fields | {
        name: {value.name: value.number for value in enum.values}
        for name, enum in file.enum_types_by_name.items()
    }


def written(text: str) -> dict[str, dict[str, int]]:
    found = {}
    for kind, name, body in re.findall(r"^(message|enum) (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        entries = (FIELD if kind == "message" else VALUE).findall(body)
        found[name] = {entry: int(number) for entry, number in entries}
    return found


@pytest.mark.parametrize("module", [upstox_v2_pb2, upstox_v3_pb2], ids=lambda module: module.__name__)
def test_the_modules_are_made_of_the_files_beside_them(module: ModuleType) -> None:
    text = (FEEDS / Path(module.DESCRIPTOR.name).name).read_text()
    assert made(module.DESCRIPTOR) == written(text)
    assert sum(map(len, written(text).values())) > 40
