from __future__ import annotations

import io
from pathlib import Path

import pytest

from deployments.up import log as up_log
from deployments.up.log import UpLog


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_up_log_masks_secrets_and_control_characters(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = UpLog(tmp_path, ["sk-or-very-secret"], stream)
    log.write("worker", "key sk-or-very-secret \x1b[31mred\x1b[0m bell\x07")
    log.close()
    for text in (stream.getvalue(), log.file.read_text()):
        assert "worker" in text
        assert "very-secret" not in text
        assert "\x1b" not in text
        assert "\x07" not in text
    assert log.file.stat().st_mode & 0o777 == 0o600


def test_up_log_colours_a_warning_only_on_a_terminal(tmp_path: Path) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        log = UpLog(tmp_path, [], stream)
        log.write("worker", "WARNING late")
        log.close()
    assert "\x1b[33mWARNING late" in terminal.getvalue()
    assert "\x1b" not in pipe.getvalue()


def test_up_log_keeps_hidden_lines_in_the_file_alone(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = UpLog(tmp_path, [], stream)
    log.write("deploy", "a long story", shown=False)
    log.close()
    assert stream.getvalue() == ""
    assert "a long story" in log.file.read_text()


def test_up_log_rotates_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up_log, "FILE_BYTES_MAX", 2000)
    log = UpLog(tmp_path, [], io.StringIO())
    for number in range(500):
        log.write("worker", f"line {number} " + "x" * 80)
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["up.log", "up.log.1", "up.log.2", "up.log.3", "up.log.4"]
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())


def test_up_log_goes_on_in_the_file_when_the_terminal_is_gone(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = UpLog(tmp_path, [], stream)
    stream.close()
    log.write("worker", "still here")
    log.close()
    assert "still here" in log.file.read_text()
