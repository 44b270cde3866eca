"""The files of a store as SQLite sees them: pages, trees, and whether each index agrees with its table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from eliza_state.errors import StoreError
from eliza_state.health.verifying.finding import Finding
from eliza_state.health.verifying.subject import Subject, name_of, reading

FILE: Final = "file"

DERIVED: Final = ("-snapshots", "-indexes")
"""What stands behind the database's name in the names of files that are made anew from the journal."""

PLUGINS: Final = "-plugins"

_MOST: Final = 50
# What SQLite says of an index that does not agree with its table; it can be made anew from that.
_OF_INDEX: Final = ("missing from index", "wrong # of entries in index", "non-unique entry in index")


def files_of(database: str) -> list[str]:
    """Return the SQLite files of a store that are there, its database first."""
    named = [database, *(database + suffix for suffix in (*DERIVED, PLUGINS))]
    return [file for file in named if os.path.exists(file)]


def check_files(subject: Subject) -> Iterator[Finding]:
    """Look at every page of each file, and at each index beside its table (`PRAGMA integrity_check`)."""
    files = [] if subject.database is None else files_of(subject.database)
    for number, file in enumerate(files, 1):
        yield from _check(subject, file)
        subject.count(FILE, number, len(files))


def _check(subject: Subject, file: str) -> Iterator[Finding]:
    is_derived = file != subject.database and not file.endswith(PLUGINS)
    try:
        with reading(file) as connection:
            lines = list(connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST})").scalars())
            page_bytes = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        if os.stat(file).st_size % page_bytes:
            lines.append("it ends within a page: it was cut off")
    except StoreError as error:
        lines = [str(error)]
    for line in lines:
        if line != "ok":
            can_be_made = is_derived or any(text in line for text in _OF_INDEX)
            loss = "" if can_be_made else "what was in these pages is lost; restore the file from a backup"
            yield Finding(check=FILE, message=line, file=name_of(file), is_derived=can_be_made, loss=loss)
