"""A bound condition as SQL over the index file: which entries of which scopes it may hold of."""

# ruff: noqa: S608  # the texts are made of constants and marks; values go beside them

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from eliza_state.ordering import Kind, after_kind, encode, encode_prefix, is_exact, kind_of
from eliza_state.path import Path
from eliza_state.query.binding import Leaf, leaves
from eliza_state.query.conditions import All, AnyOf, Condition, Not
from eliza_state.query.index_layout import STATE_KEY, Label, Layout
from eliza_state.query.lookup import is_ordered
from eliza_state.query.order import Order

if TYPE_CHECKING:
    from eliza_state.query.index_file import Session

_COUNTED: Final = 2_000
_FEW: Final = 20
_LONGEST: Final = 200


class Sql(NamedTuple):
    """A piece of SQL with its parameters; `is_exact` if it vouches for what it says."""

    text: str
    given: tuple[Any, ...] = ()
    is_exact: bool = True


class Entries(NamedTuple):
    """Entries to select from: a FROM clause, and what stands in its WHERE."""

    source: Sql
    where: Sql

    @property
    def is_exact(self) -> bool:
        """Whether all of them are wanted."""
        return self.source.is_exact and self.where.is_exact


class Ordered(NamedTuple):
    """Joins that give the values to sort by, these values, and the ORDER BY."""

    joins: Sql
    values: list[str]
    terms: str


def joined(pieces: Sequence[Sql], between: str) -> Sql:
    """Return pieces as one."""
    given = tuple(value for piece in pieces for value in piece.given)
    return Sql(between.join(piece.text for piece in pieces), given, all(piece.is_exact for piece in pieces))


def size_of(condition: Condition) -> int:
    """Return how much of SQLite's room for a query a condition takes, in comparisons."""
    operands = [leaf.operand for leaf in leaves(condition)]
    # A list of values is one comparison for SQLite, and as long as it has room for.
    return sum(1 + len(each) // 100 if isinstance(each, tuple) else 1 for each in operands)


def below(path: Path, column: str) -> Sql:
    """Return what holds of the text forms of a path and of those below it."""
    text = path.encode()
    if not text:
        return Sql("1")
    # "0" comes right after "/", and no step of a sibling's begins with either.
    return Sql(f"({column} = ? OR ({column} > ? AND {column} < ?))", (text, f"{text}/", f"{text}0"))


def bounds_of(leaf: Leaf, column: str) -> Sql:
    """Return what holds of the encoded values that a comparison holds of."""
    operand = leaf.operand
    match leaf.op:
        case "==" | "contains":
            return Sql(f"{column} = ?", (encode(operand),))
        case "in":
            marks = ", ".join("?" * len(operand))
            return Sql(f"{column} IN ({marks})", tuple(map(encode, operand)))
        case "startswith":
            return Sql(f"{column} >= ? AND {column} < ?", encode_prefix(operand))
        case "between":
            low, high = operand
            return joined([_least(low, column, ">="), _greatest(high, column, "<=")], " AND ")
        case "<" | "<=":
            start = Sql(f"{column} >= ?", (bytes((kind_of(operand),)),))
            return joined([start, _greatest(operand, column, leaf.op)], " AND ")
        case _:
            stop = Sql(f"{column} < ?", (after_kind(kind_of(operand)),))
            return joined([_least(operand, column, leaf.op), stop], " AND ")


def _least(value: Any, column: str, sign: str) -> Sql:
    if _has_place(value):
        return Sql(f"{column} {sign} ?", (encode(value),))
    return Sql(f"{column} >= ?", (encode(value)[:9],), is_exact=False)


def _greatest(value: Any, column: str, sign: str) -> Sql:
    if _has_place(value):
        return Sql(f"{column} {sign} ?", (encode(value),))
    return Sql(f"{column} < ?", (encode(value)[:9] + b"\xff",), is_exact=False)


def _has_place(value: Any) -> bool:
    return kind_of(value) is not Kind.NUMBER or is_exact(value)


@attrs.define(eq=False)
class Selection:
    """Turn conditions into SQL for one collection of the file.

    `used` gathers the names of the indexes that are looked into.
    """

    session: Session
    layout: Layout
    used: list[str] = attrs.Factory(list[str])

    def entries(self, condition: Condition, path: Path) -> Entries | None:
        """Return where the scopes (`e.scope`, `s.path`) and keys (`e.key`) are that a condition may hold of.

        `None` if there is nothing to begin with.
        """
        every = self.layout.every_entry
        in_range = below(path, "s.path")
        # Of what is longer than SQLite takes, the indexes are not asked.
        is_asked = size_of(condition) <= _LONGEST
        if path.steps and every is not None and self._scopes_below(path) <= _FEW:
            held = self._holds(condition, "e") if is_asked else None
            start = Sql(
                "FROM scope AS s CROSS JOIN entry AS e ON e.scope = s.id AND e.label = ?",
                (self._number(every),),
            )
            return Entries(start, joined([in_range, held or Sql("1", is_exact=False)], " AND "))
        ids = self._ids(condition) if is_asked else None
        if ids is None:
            if every is None:
                return None
            is_exact = condition == All(())
            ids = Sql("SELECT scope, key FROM entry WHERE label = ?", (self._number(every),), is_exact)
        source = f"FROM ({ids.text}) AS e CROSS JOIN scope AS s ON s.id = e.scope"
        return Entries(Sql(source, ids.given, ids.is_exact), in_range)

    def ordered(self, order: Order) -> Ordered | None:
        """Return how entries come in an order; `None` if an index is missing for one of its columns."""
        joins: list[Sql] = [Sql("")]
        terms: list[str] = []
        values: list[str] = []
        for place, (column, is_descending) in enumerate(zip(order.columns, order.descending, strict=True)):
            label = self._label(column.name, is_each=False)
            if label is None:
                return None
            key = "X''" if label.of == "state" else "e.key"
            name = f"o{place}"
            text = (
                f"JOIN entry AS {name} ON {name}.scope = e.scope AND {name}.label = ? AND {name}.key = {key}"
            )
            joins.append(Sql(text, (self._number(label),)))
            values.append(f"{name}.value")
            terms.append(f"{name}.value {'DESC' if is_descending else 'ASC'}")
        return Ordered(joined(joins, " "), values, ", ".join([*terms, "s.path", "e.key"]))

    def group(self, name: str) -> Sql | None:
        """Return the join that gives an entry's value of a field as `g.value`; `None` without an index."""
        label = self._label(name, is_each=False)
        if label is None:
            return None
        key = "X''" if label.of == "state" else "e.key"
        text = f"JOIN entry AS g ON g.scope = e.scope AND g.label = ? AND g.key = {key}"
        return Sql(text, (self._number(label),))

    def _number(self, label: Label) -> int:
        return self.session.label(self.layout, label)

    def _label(self, name: str, *, is_each: bool) -> Label | None:
        found = (label for label in self.layout.labels if label.index.name == name)
        return next((label for label in found if label.is_each is is_each and len(label.columns) == 1), None)

    def _label_of(self, leaf: Leaf) -> Label | None:
        """Return the index that answers a comparison."""
        label = self._label(leaf.column.name, is_each=leaf.op == "contains")
        if label is None or leaf.op in ("==", "in", "contains"):
            return label
        return label if label.is_ordered and is_ordered(leaf) else None

    def _scopes_below(self, path: Path) -> int:
        condition = below(path, "path")
        text = f"SELECT count(*) FROM (SELECT 1 FROM scope WHERE {condition.text} LIMIT {_FEW + 1})"
        return int(self.session.run(text, condition.given).scalar_one())

    # Where to begin

    def _ids(self, condition: Condition) -> Sql | None:
        """Return a query for the scopes and keys that a condition may hold of; `None` for all."""
        match condition:
            case Leaf():
                return self._ids_of_leaf(condition)
            case All(conditions):
                return self._ids_of_all(conditions)
            case AnyOf(conditions):
                found = [self._ids(each) for each in conditions]
                pieces = [each for each in found if each is not None]
                if not pieces:
                    return None if conditions else Sql("SELECT NULL AS scope, NULL AS key WHERE 0")
                return joined(pieces, " UNION ") if len(pieces) == len(found) else None
            case _:
                return None

    def _ids_of_leaf(self, leaf: Leaf) -> Sql | None:
        label = self._label_of(leaf)
        if label is None:
            return None
        self.used.append(label.index.name)
        bounds = bounds_of(leaf, "b.value")
        if label.of != "state":
            text = f"SELECT b.scope, b.key FROM entry AS b WHERE b.label = ? AND {bounds.text}"
            return Sql(text, (self._number(label), *bounds.given), bounds.is_exact)
        every = self.layout.every_entry
        if every is None:
            return None
        text = (
            "SELECT r.scope, r.key FROM entry AS b CROSS JOIN entry AS r ON r.scope = b.scope AND r.label = ?"
            f" WHERE b.label = ? AND {bounds.text}"
        )
        return Sql(text, (self._number(every), self._number(label), *bounds.given), bounds.is_exact)

    def _ids_of_all(self, conditions: Sequence[Condition]) -> Sql | None:
        """Begin with the most selective condition and ask for each entry whether the others hold."""
        composite = self._ids_of_composite(conditions)
        starts: list[tuple[int, Sql, Sequence[Condition]]] = []
        if composite is not None:
            starts.append((self._count(composite[0]), *composite))
        for condition in conditions:
            ids = self._ids(condition)
            if ids is not None:
                others = [each for each in conditions if each is not condition]
                starts.append((self._count(ids), ids, others))
        if not starts:
            return None
        _, start, left = min(starts, key=lambda each: each[0])
        holds = [self._holds(each, "d") for each in left]
        kept = [each for each in holds if each is not None]
        is_exact = start.is_exact and len(kept) == len(holds)
        source = Sql(f"SELECT d.scope, d.key FROM ({start.text}) AS d", start.given, is_exact)
        return joined([source, joined(kept, " AND ")], " WHERE ") if kept else source

    def _ids_of_composite(self, conditions: Sequence[Condition]) -> tuple[Sql, Sequence[Condition]] | None:
        equal = {each.column.name: each for each in conditions if isinstance(each, Leaf) and each.op == "=="}
        wide = [label for label in self.layout.labels if len(label.columns) > 1]
        for label in sorted(wide, key=lambda each: -len(each.columns)):
            names = [column.name for column in label.columns]
            if all(name in equal for name in names):
                self.used.append(label.index.name)
                value = b"".join(encode(equal[name].operand) for name in names)
                done = [equal[name] for name in names]
                text = "SELECT b.scope, b.key FROM entry AS b WHERE b.label = ? AND b.value = ?"
                others = [each for each in conditions if not any(each is leaf for leaf in done)]
                return Sql(text, (self._number(label), value)), others
        return None

    def _count(self, ids: Sql) -> int:
        text = f"SELECT count(*) FROM (SELECT 1 FROM ({ids.text}) LIMIT {_COUNTED})"
        return int(self.session.run(text, ids.given).scalar_one())

    # What holds of an entry

    def _holds(self, condition: Condition, entry: str) -> Sql | None:
        """Return what holds of an entry when the condition may; `None` if no index can tell."""
        match condition:
            case Leaf():
                return self._holds_of_leaf(condition, entry)
            case Not(inner):
                held = self._holds(inner, entry)
                return Sql(f"NOT {held.text}", held.given) if held is not None and held.is_exact else None
            case All(conditions):
                return self._all_hold([self._holds(each, entry) for each in conditions])
            case AnyOf(conditions):
                return self._any_holds([self._holds(each, entry) for each in conditions])
            case _:
                return None

    def _all_hold(self, found: Sequence[Sql | None]) -> Sql | None:
        kept = [each for each in found if each is not None]
        if not kept:
            return None if found else Sql("1")
        whole = joined(kept, " AND ")
        return Sql(f"({whole.text})", whole.given, whole.is_exact and len(kept) == len(found))

    def _any_holds(self, found: Sequence[Sql | None]) -> Sql | None:
        kept = [each for each in found if each is not None]
        if len(kept) < len(found):
            return None
        whole = joined(kept, " OR ") if kept else Sql("0")
        return Sql(f"({whole.text})", whole.given, whole.is_exact)

    def _holds_of_leaf(self, leaf: Leaf, entry: str) -> Sql | None:
        label = self._label_of(leaf)
        if label is None:
            return None
        self.used.append(label.index.name)
        bounds = bounds_of(leaf, "h.value")
        is_around = label.of == "state"
        key: Sql = Sql("?", (STATE_KEY,)) if is_around else Sql(f"{entry}.key")
        text = (
            f"EXISTS (SELECT 1 FROM entry AS h WHERE h.scope = {entry}.scope AND h.label = ?"
            f" AND h.key = {key.text} AND {bounds.text})"
        )
        return Sql(text, (self._number(label), *key.given, *bounds.given), bounds.is_exact)
