"""A PostgreSQL that waits for the disk: the one of the tests does not, and keeps its data in memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from tests.servers import StartFailed, Unavailable, postgres_programs
from tests.servers.processes import Account, Process

_ACCESS: Final = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")


@contextlib.contextmanager
def postgres_on_disk(folder: Path) -> Generator[str]:
    """Start a server as it comes, with its data in the folder, and yield its URL; end it after.

    Its socket lies elsewhere, since a socket's path must be short.
    """
    programs = postgres_programs()
    if not programs:
        raise Unavailable("no PostgreSQL: `make bench` installs one")
    folder.chmod(0o755)  # the server may run as somebody else
    data = folder / "postgres"
    program = programs[-1]  # the wheel's where there is one: the same on every machine
    _create(program.with_name("initdb"), data)
    process = Process("postgres", account=Account(), abandon=signal.SIGQUIT)
    command = [program, "-D", data, "-k", process.folder, "-c", "listen_addresses="]
    query = {"host": str(process.folder)}
    try:
        process.start(command, lambda: _is_ready(data), _environment())
        yield str(URL.create("postgresql+psycopg", username="postgres", database="postgres", query=query))
        process.end(signal.SIGINT)
    finally:
        process.close()


def _create(initdb: Path, data: Path) -> None:
    account = Account()
    data.mkdir()
    account.owns(data)
    command = [initdb, "-D", data, *_ACCESS]
    done = subprocess.run(
        command, cwd="/", env=_environment(), capture_output=True, text=True, check=False, **account.options
    )
    if done.returncode:
        raise StartFailed(f"{initdb} failed: {done.stdout}{done.stderr}")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _is_ready(data: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        status = (data / "postmaster.pid").read_text().splitlines()
        return len(status) > 7 and status[7].startswith("ready")
    return False
