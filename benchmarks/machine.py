"""What a run was measured on, and beside which versions."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from tests.servers import postgres_programs, redis_programs

PEERS: Final = Path(__file__).with_name("peers.txt")
_OWN: Final = ("attrs", "cattrs", "msgspec", "psycopg", "redis", "sqlalchemy")


def described() -> dict[str, str]:
    """Return the machine and the versions of everything that matters, by name; what is not there is not."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "processors": f"{os.cpu_count()} of {_processor()}",
        "memory": f"{memory_bytes / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **_servers(),
        **{name: metadata.version(name) for name in _OWN},
        **dict(_peers()),
    }


def _processor() -> str:
    """Return what the processor calls itself, as far as the system tells."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _servers() -> dict[str, str]:
    """Return the versions of the servers that are measured, the preferred one of each kind."""
    kinds = (("PostgreSQL", postgres_programs), ("Valkey or Redis", redis_programs))
    return {name: _version(program) for name, programs in kinds for program in programs()[:1]}


def _version(program: Path) -> str:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return next(word.removeprefix("v=") for word in told.split() if word.removeprefix("v=")[0].isdigit())


def _peers() -> Iterator[tuple[str, str]]:
    for line in PEERS.read_text(encoding="utf-8").splitlines():
        name = line.partition("==")[0].partition("[")[0].partition("<")[0].strip()
        if name and not name.startswith("#"):
            try:
                yield name, metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
