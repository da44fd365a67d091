"""One running system per state directory."""

from pathlib import Path

import pytest

from config.instance import AlreadyRunning, only_instance


def test_a_second_instance_is_told_about_the_first(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.lock"
    with only_instance(path, "process 1, port 8000"):
        with pytest.raises(AlreadyRunning, match=r"^process 1, port 8000$"), only_instance(path, "second"):
            raise AssertionError("unreachable")


def test_no_lock_is_left_behind_and_a_stale_file_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.write_text("a process that was killed, and whose note was longer than ours")
    with only_instance(path, "new"):
        assert path.read_text() == "new\n"

    assert not path.exists()
