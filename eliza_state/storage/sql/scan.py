"""Scans of a SQL storage, page by page: each begins after the key that the last one ended with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from sqlalchemy import Executable

from eliza_state.storage.backend import Marks
from eliza_state.storage.keys import split_key
from eliza_state.storage.sql.statements import PAGE_ROWS, Statements, end_of, next_after


@attrs.define
class Scan:
    """A query of one page, and the parameters of the next page; `None` after the last one."""

    statement: Executable
    parameters: dict[str, Any] | None
    _after: Callable[[str, str], dict[str, str]]

    def go_on(self, page: Marks) -> None:
        """Turn to the page after this one."""
        if len(page) < PAGE_ROWS or self.parameters is None:
            self.parameters = None
        else:
            self.parameters = {**self.parameters, **self._after(*split_key(page[-1][0]))}


def scans_of(statements: Statements, space: str, *, prefix: str, nested: bool) -> list[Scan]:
    """Return the scans that find the keys of a namespace, and with `nested` of those below it."""
    names = {"row_space": space, "first": prefix, "end": end_of(prefix)}
    scans = [Scan(statements.names, names, lambda _space, name: {"first": next_after(name)})]
    if nested:
        first = space + (prefix or next_after(""))  # without a prefix, the namespace itself has been scanned
        below = {"row_space": first, "row_name": "", "end": end_of(space + prefix)}
        scans.append(
            Scan(statements.spaces, below, lambda space, name: {"row_space": space, "row_name": name})
        )
    return scans
