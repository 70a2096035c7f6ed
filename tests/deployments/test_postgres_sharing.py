"""The embedded server's life: who starts, shares and stops it, and what survives a kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deployments.postgres import PostgresServer, running_postgres
from deployments.postgres.account import choose_account
from deployments.postgres.layout import Layout
from deployments.postgres.lifecycle import stop
from deployments.postgres.locks import opened, taken_alone
from deployments.postgres.postmaster import find_postmaster, is_alive
from deployments.postgres.socket_folder import make_socket_folder
from models.errors import PostgresFailed

USER = """
import sys
from pathlib import Path
from deployments.postgres import running_postgres

with running_postgres(Path(sys.argv[1])) as server:
    print(server.url("postgres"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    if Layout(tmp_path / "home").root.exists():
        stop(Layout(tmp_path / "home"))


@contextmanager
def user_process(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", USER, str(home)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def server_pid(home: Path) -> int:
    postmaster = find_postmaster(Layout(home).data)
    assert postmaster is not None
    return postmaster.pid


def server_is_gone(home: Path) -> bool:
    layout = Layout(home)
    with opened(layout.server_lock) as lock_fd:
        return find_postmaster(layout.data) is None and taken_alone(lock_fd)


def kill_server(home: Path) -> int:
    pid = server_pid(home)
    os.kill(pid, signal.SIGKILL)
    while is_alive(pid):
        time.sleep(0.01)
    return pid


def value(server: PostgresServer, query: str) -> object:
    with psycopg.connect(server.url("postgres")) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], check=False, capture_output=True, text=True
    )
    return [int(line) for line in listed.stdout.split()]


def test_server_is_shared_and_stopped_by_its_last_user(home: Path) -> None:
    with running_postgres(home) as first:
        pid = server_pid(home)
        family = [pid, *children_of(pid)]
        with running_postgres(home) as second:
            assert second == first
        assert server_pid(home) == pid
        assert value(first, "SELECT 1") == 1
    assert not any(is_alive(member) for member in family)
    assert len(family) > 1
    assert server_is_gone(home)
    assert not first.socket_dir.exists()


def test_server_keeps_running_when_another_process_leaves(home: Path) -> None:
    with running_postgres(home) as server, user_process(home) as other:
        assert url_of(other) == server.url("postgres")
        leave(other)
        assert value(server, "SELECT 1") == 1
    assert server_is_gone(home)


def test_server_is_one_when_two_processes_start_it_at_once(home: Path) -> None:
    with user_process(home) as one, user_process(home) as two:
        assert url_of(one) == url_of(two) != ""
        pid = server_pid(home)
        leave(one)
        assert server_pid(home) == pid
        leave(two)
    assert server_is_gone(home)


def test_server_is_one_when_threads_start_it_at_once(home: Path) -> None:
    all_inside = threading.Barrier(4, timeout=60)
    pids: list[int] = []

    def take_part() -> None:
        with running_postgres(home):
            pids.append(server_pid(home))
            all_inside.wait()

    threads = [threading.Thread(target=take_part) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 4
    assert len(set(pids)) == 1
    assert server_is_gone(home)


def test_server_is_found_again_and_stopped_when_its_user_was_killed(home: Path) -> None:
    with user_process(home) as killed:
        url = url_of(killed)
        pid = server_pid(home)
        killed.kill()
        killed.wait()
    assert is_alive(pid)
    with running_postgres(home) as server:
        assert server.url("postgres") == url
        assert server_pid(home) == pid
    assert server_is_gone(home)


def test_server_holds_no_lock_and_no_terminal_of_its_user(home: Path) -> None:
    with running_postgres(home):
        pid = server_pid(home)
        held = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert str(Layout(home).server_lock) in held
        assert held.isdisjoint({str(Layout(home).users_lock), str(Layout(home).start_lock)})
        assert os.getsid(pid) != os.getsid(0)


def test_server_recovers_committed_rows_when_it_was_killed(home: Path) -> None:
    with running_postgres(home) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        killed = kill_server(home)
        with running_postgres(home) as recovered:
            assert server_pid(home) != killed
            assert value(recovered, "SELECT answer FROM kept") == 42
    assert server_is_gone(home)


def test_user_leaves_quietly_when_the_server_was_killed(home: Path) -> None:
    with running_postgres(home):
        kill_server(home)
    assert server_is_gone(home)


def test_stale_pid_file_is_not_believed_when_it_names_an_unrelated_process(home: Path) -> None:
    with running_postgres(home) as server:
        pid = server_pid(home)
        pid_file = server.data_dir / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    with subprocess.Popen(["sleep", "300"]) as unrelated:
        pid_file.write_text("\n".join([str(unrelated.pid), *lines[1:]]))
        with running_postgres(home) as server:
            assert server_pid(home) not in (pid, unrelated.pid)
            assert value(server, "SELECT 1") == 1
        assert unrelated.poll() is None
        unrelated.kill()


def test_stale_pid_files_are_not_believed_when_they_name_the_server_of_another_home(
    home: Path, tmp_path: Path
) -> None:
    other_home = tmp_path / "other"
    with running_postgres(home) as server:
        pass
    with running_postgres(other_home) as other:
        described = (other.data_dir / "postmaster.pid").read_text()
        (server.data_dir / "postmaster.pid").write_text(described)
        folder = make_socket_folder(server.data_dir, choose_account(server.data_dir))
        (folder / ".s.PGSQL.5432.lock").write_text(described)
        with running_postgres(home) as server:
            assert server_pid(home) != server_pid(other_home)
            assert value(server, "SELECT 1") == 1
        assert value(other, "SELECT 1") == 1


def test_server_is_restarted_when_its_socket_folder_was_cleaned_away(home: Path) -> None:
    with running_postgres(home) as server:
        shutil.rmtree(server.socket_dir)
        with running_postgres(home) as again:
            assert value(again, "SELECT 1") == 1


def test_server_starts_when_an_earlier_initdb_was_cut_short(home: Path) -> None:
    partial = Layout(home).partial_data
    (partial / "base").mkdir(parents=True)
    (partial / "PG_VERSION").write_text("18\n")
    with running_postgres(home) as server:
        assert value(server, "SELECT 1") == 1
    assert not partial.exists()


def test_start_fails_with_the_reason_when_a_file_of_the_database_is_missing(home: Path) -> None:
    with running_postgres(home) as server:
        pass
    (server.data_dir / "global" / "pg_control").unlink()
    with pytest.raises(PostgresFailed, match=r"not start: .*pg_control"), running_postgres(home):
        pytest.fail("it must not start")
    assert server_is_gone(home)


def test_start_fails_with_the_reason_when_the_data_folder_holds_something_else(home: Path) -> None:
    data = Layout(home).data
    data.mkdir(parents=True)
    (data / "letter.txt").write_text("mine")
    with pytest.raises(PostgresFailed, match="not a PostgreSQL data"), running_postgres(home):
        pytest.fail("it must not start")
    assert (data / "letter.txt").read_text() == "mine"


def test_start_fails_with_the_reason_when_the_password_is_lost(home: Path) -> None:
    with running_postgres(home):
        Layout(home).password.unlink()
    with pytest.raises(PostgresFailed, match="put it back"), running_postgres(home):
        pytest.fail("it must not start")
