"""Answers from all scopes, loaded or not: through the index file where there is one, else by opening them.

Everything here runs in one thread beside the event loop, or at once where the journal is in memory.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from eliza_state.indexes import ABSENT, Column, entries, entry_at
from eliza_state.ordering import decode, encode
from eliza_state.path import Path
from eliza_state.query.answer import Cursor, Match
from eliza_state.query.binding import Test
from eliza_state.query.conditions import Condition
from eliza_state.query.explanation import Explanation
from eliza_state.query.index_layout import Layout
from eliza_state.query.order import Order, Row
from eliza_state.query.selection import Entries, Selection, joined

if TYPE_CHECKING:
    from eliza_state.query.index_file import Session

_KEPT_STATES: Final = 64
_KEPT_ROWS: Final = 4_096


@attrs.frozen(eq=False, kw_only=True)
class Request:
    """What is asked of the scopes at and below a path, as they were at the position `until`.

    `held` are those that have answered from memory; `states` are the states of others that are loaded.
    """

    layout: Layout
    condition: Condition
    test: Test
    order: Order
    path: Path
    until: int
    limit: int | None
    after: Cursor | None
    held: frozenset[Path]
    states: Mapping[Path, Any]


class Found(NamedTuple):
    """What the index file says: paths and keys in the order of the answer, or in none.

    When it `is_exact` all of them match; else they have to be looked at.
    """

    places: list[tuple[str, bytes]]
    is_exact: bool


class Reader:
    """Read what is asked for; `open_state(path)` gives the state of the slice of a scope."""

    def __init__(
        self, request: Request, *, open_state: Callable[[Path], Any], explanation: Explanation
    ) -> None:
        self._request = request
        self._open_state = open_state
        self._explanation = explanation
        self._states: OrderedDict[Path, Any] = OrderedDict()

    def _state(self, path: Path) -> Any:
        known = self._request.states.get(path, ABSENT)
        if known is not ABSENT:
            return known
        if path in self._states:
            self._states.move_to_end(path)
            return self._states[path]
        self._explanation.opened += 1
        state = self._states[path] = self._open_state(path)
        if len(self._states) > _KEPT_STATES:
            self._states.popitem(last=False)
        return state

    def _collection(self, state: Any) -> Any:
        return getattr(state, self._request.layout.collection.field)

    # By looking at everything

    def each(self, paths: Iterable[Path]) -> Iterator[Row]:
        """Yield the matches in scopes that are not held."""
        request = self._request
        for path in paths:
            if path in request.held:
                continue
            state = self._state(path)
            for key, entry in entries(self._collection(state)):
                self._explanation.tested += 1
                if request.test(key, entry, state):
                    yield request.order.row(Match(path, key, entry), state)

    def scan(self, paths: Iterable[Path]) -> list[Row]:
        """Return the matches in scopes; with a limit, no more are kept at a time than it takes."""
        request = self._request
        found: list[Row] = []
        for row in self.each(paths):
            if request.after is None or request.order.is_behind(row, request.after):
                found.append(row)
            if request.limit is not None and len(found) >= request.limit + _KEPT_ROWS:
                request.order.sort(found)
                del found[request.limit :]
        return found

    # Through the index file

    def select(self, session: Session, changed: frozenset[Path]) -> Found | None:
        """Return where the file says that matches are, but for scopes that have changed since.

        `None` if it has no index to begin with.
        """
        request = self._request
        selection = Selection(session, request.layout)
        source = selection.entries(request.condition, request.path)
        if source is None:
            return None
        self._explain(selection)
        ordered = selection.ordered(request.order)
        columns, joins, terms = "s.path, e.key", "", ""
        given = source.source.given
        if ordered is not None:
            columns = ", ".join([columns, *ordered.values])
            joins, terms = ordered.joins.text, f"ORDER BY {ordered.terms}"
            given += ordered.joins.given
        text = f"SELECT {columns} {source.source.text} {joins} WHERE {source.where.text} {terms}"
        rows = iter(session.run(text, (*given, *source.where.given)))
        is_sorted = ordered is not None
        kept = self._kept(rows, self._left_out(changed), is_sorted=is_sorted, is_exact=source.is_exact)
        return Found(kept, source.is_exact)

    def _left_out(self, changed: frozenset[Path]) -> set[str]:
        return {path.encode() for path in self._request.held | changed}

    def _kept(
        self, rows: Iterable[Any], left_out: set[str], *, is_sorted: bool, is_exact: bool
    ) -> list[tuple[str, bytes]]:
        """Leave out scopes, and what is not behind the cursor; stop when there are enough."""
        request = self._request
        behind = _Behind(request.after, request.order) if is_sorted and request.after is not None else None
        found: list[tuple[str, bytes]] = []
        for path, key, *values in rows:
            if path in left_out or (behind is not None and not behind(path, key, values)):
                continue
            found.append((path, key))
            if is_sorted and is_exact and len(found) == request.limit:
                break
        return found

    def _explain(self, selection: Selection) -> None:
        used = " & ".join(dict.fromkeys(selection.used)) or "every entry"
        self._explanation.stored = f"index file: {used}"

    def read(self, found: Found) -> list[Row]:
        """Return the matches at the places that the file named."""
        request = self._request
        rows: list[Row] = []
        for path_text, encoded in found.places:
            path, key = Path.decode(path_text), decode(encoded)
            state = self._state(path)
            entry = entry_at(self._collection(state), key)
            self._explanation.tested += 1
            if entry is ABSENT or not (found.is_exact or request.test(key, entry, state)):
                continue
            row = request.order.row(Match(path, key, entry), state)
            if request.after is None or request.order.is_behind(row, request.after):
                rows.append(row)
        return rows

    def count(self, session: Session, changed: frozenset[Path]) -> int | None:
        """Return how many matches there are; `None` if the indexes alone cannot tell."""
        source = self._exact(session)
        if source is None:
            return None
        left_out = self._left_out(changed)
        if not left_out:
            text = f"SELECT count(*) {source.source.text} WHERE {source.where.text}"
            return int(session.run(text, (*source.source.given, *source.where.given)).scalar_one())
        text = f"SELECT s.path, count(*) {source.source.text} WHERE {source.where.text} GROUP BY s.path"
        rows = session.run(text, (*source.source.given, *source.where.given))
        return sum(int(number) for path, number in rows if path not in left_out)

    def groups(self, session: Session, changed: frozenset[Path], *, column: Column) -> Counter[Any] | None:
        """Return how many matches have which value of a column; `None` if the indexes alone cannot tell."""
        source = self._exact(session)
        group = Selection(session, self._request.layout).group(column.name)
        if source is None or group is None:
            return None
        whole = joined([source.source, group], " ")
        text = f"SELECT s.path, g.value, count(*) {whole.text} WHERE {source.where.text} GROUP BY 1, 2"
        left_out = self._left_out(changed)
        if not left_out:
            text = f"SELECT '', g.value, count(*) {whole.text} WHERE {source.where.text} GROUP BY 2"
        found: Counter[Any] = Counter()
        try:
            for path, value, number in session.run(text, (*whole.given, *source.where.given)):
                if path not in left_out:
                    found[decode(value)] += number
        except ValueError:  # a value that cannot be read back
            return None
        return found

    def _exact(self, session: Session) -> Entries | None:
        selection = Selection(session, self._request.layout)
        source = selection.entries(self._request.condition, self._request.path)
        if source is None or not source.is_exact:
            return None
        self._explain(selection)
        return source


class _Behind:
    """Tell of a row of the file whether it comes after a cursor."""

    def __init__(self, cursor: Cursor, order: Order) -> None:
        self._values = [encode(value) for value in cursor.values]
        self._descending = order.descending
        self._place = cursor.path.encode("utf-8", "surrogatepass"), encode(cursor.key)

    def __call__(self, path: str, key: bytes, values: list[bytes]) -> bool:
        for mine, theirs, is_descending in zip(values, self._values, self._descending, strict=True):
            if mine != theirs:
                return (mine < theirs) if is_descending else (mine > theirs)
        return (path.encode(), key) > self._place
