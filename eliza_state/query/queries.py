"""Queries over the entries of collections, across scopes: what the manager offers as `queries`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeAlias

from eliza_state.errors import RegistrationError
from eliza_state.indexes import Collection, collections_of, nearest
from eliza_state.module import StateModule
from eliza_state.ordering import order_key
from eliza_state.path import Path
from eliza_state.query.answer import Answer, Cursor, Match
from eliza_state.query.answering import Answering, Asked
from eliza_state.query.binding import bind, test_of
from eliza_state.query.conditions import Condition
from eliza_state.query.errors import InvalidQuery
from eliza_state.query.explanation import Explanation
from eliza_state.query.facts import ScopeColumns, ScopeMatch, ScopeRequest
from eliza_state.query.order import Order, OrderBy, check_limit
from eliza_state.query.prepared import Prepared
from eliza_state.query.request import Query
from eliza_state.tree import Tree

Place: TypeAlias = Path | str
"""A scope: its path, or the text form of that."""

Module: TypeAlias = str | type[StateModule[Any]] | StateModule[Any]
"""A module, its class, or the name of its slice."""


class Queries:
    """Find entries of collections across the scopes of a manager, by declared indexes where there are any.

    A collection is followed from the first query on it: entries of loaded scopes are indexed in memory, those
    of all scopes in a file beside the store. The first query on a store makes that file, from all states.
    """

    def __init__(self, tree: Tree, answering: Answering) -> None:
        self._tree = tree
        self._answering = answering

    async def find(
        self,
        module: Module,
        *,
        of: str | None = None,
        where: Condition | None = None,
        below: Place = "",
        order_by: OrderBy = (),
        limit: int | None = None,
        after: Cursor | None = None,
    ) -> Answer[Match]:
        """Return the entries of a collection in a module's state for which `where` holds, in all scopes.

        `module` is a module, its class, or the name of its slice; `of` the name of the collection in its
        state, which need not be said where only one has indexes, or only one is there. `below` is a scope: it
        and all below it are asked, loaded or not. The matches come in the order of the fields `order_by`, `-`
        before a name for descending, and among equals by path and key; at most `limit` of them. To read on,
        pass the answer's `cursor` as `after`, with all else as it was.
        All is as it was at one position, the last one that this manager has taken in when the query begins
        to look; it is the answer's `position`.
        Raises `InvalidQuery` for a field that is not there or is secret, and for values that cannot be
        compared; `RegistrationError` for an unknown module; `StoreError`.
        """
        query = self._query(module, of=of, where=where, below=below, order_by=order_by, limit=limit)
        return await self._answering.run(query, {}, after=after)

    async def count(
        self,
        module: Module,
        *,
        of: str | None = None,
        where: Condition | None = None,
        below: Place = "",
    ) -> int:
        """Return how many entries there are for which `where` holds; see `find`."""
        query = self._query(module, of=of, where=where, below=below)
        asked = Asked(query, query.given({}), None, Explanation())
        rows, others = await self._answering.ask(asked, self._answering.elsewhere.count)
        return len(rows) + (others or 0)

    async def groups(
        self,
        module: Module,
        *,
        by: str,
        of: str | None = None,
        where: Condition | None = None,
        below: Place = "",
    ) -> Counter[Any]:
        """Return how many entries for which `where` holds have which value of the field `by`; see `find`.

        The values come in their order. Values that cannot be counted by, such as lists, raise `InvalidQuery`.
        """
        query = self._query(module, of=of, where=where, below=below, order_by=by)
        asked = Asked(query, query.given({}), None, Explanation())
        ask = partial(self._answering.elsewhere.groups, column=query.order.columns[0])
        try:
            rows, others = await self._answering.ask(asked, ask)
            counted = Counter(values[0] for values, _ in rows) + (others or Counter())
        except TypeError as error:
            raise InvalidQuery(f"{by!r} holds values that cannot be counted by: {error}") from error
        return Counter(dict(sorted(counted.items(), key=lambda item: order_key(item[0]))))

    def prepare(
        self,
        module: Module,
        *,
        of: str | None = None,
        where: Condition | None = None,
        below: Place = "",
        order_by: OrderBy = (),
        limit: int | None = None,
    ) -> Prepared:
        """Return a query that is run often, with `param(name)` in it for values that are given then."""
        query = self._query(module, of=of, where=where, below=below, order_by=order_by, limit=limit)
        return Prepared(self._answering, query)

    async def explain(
        self,
        module: Module,
        *,
        of: str | None = None,
        where: Condition | None = None,
        below: Place = "",
        order_by: OrderBy = (),
        limit: int | None = None,
    ) -> Explanation:
        """Run a query and return how it was answered: which indexes, and what had to be looked through."""
        query = self._query(module, of=of, where=where, below=below, order_by=order_by, limit=limit)
        return await self._answering.explain_query(query, {})

    async def scopes(
        self,
        *,
        where: Condition | None = None,
        below: Place = "",
        order_by: OrderBy = (),
        limit: int | None = None,
        after: Cursor | None = None,
    ) -> Answer[ScopeMatch]:
        """Return the scopes for which `where` holds, at and below a path, loaded or not.

        The fields are those of `ScopeMatch`: `path` (as text), `level`, `id`, `version`, `position`,
        `last_activity`, `phase`. All else is as in `find`.
        """
        columns = ScopeColumns()
        condition, order = bind(where, columns), Order.of(order_by, columns)
        if after is not None:
            order.check(after)
        check_limit(limit)
        request = ScopeRequest(
            condition=condition,
            test=test_of(condition),
            path=self._path(below),
            order=order,
            limit=limit,
            after=after,
        )
        found, position = await self._answering.scopes(request)
        rows = order.cut(found, limit=limit, after=None)
        return order.answer(rows, limit=limit, position=position, item=lambda match: match.entry)

    def _query(
        self,
        module: Module,
        *,
        of: str | None = None,
        where: Condition | None = None,
        below: Place = "",
        order_by: OrderBy = (),
        limit: int | None = None,
    ) -> Query:
        """Return a query, checked and bound to its collection; from now on that is followed."""
        name, member = self._module(module)
        tracked = self._answering.track(name, member, _collection(name, collections_of(member), of))
        order = Order.of(order_by, tracked.columns)
        return Query(tracked, bind(where, tracked.columns), self._path(below), order, limit)

    def _path(self, place: Place) -> Path:
        return self._tree.hierarchy.check(Path.decode(place) if isinstance(place, str) else place)

    def _module(self, module: Module) -> tuple[str, StateModule[Any]]:
        for level in self._tree.hierarchy.levels:
            try:
                name = self._tree.slice_name(module, level=level)
            except RegistrationError:
                continue
            return name, self._tree.modules(level)[name]
        known = [name for level in self._tree.hierarchy.levels for name in self._tree.modules(level)]
        wanted = module if isinstance(module, str) else getattr(module, "__qualname__", type(module).__name__)
        raise RegistrationError(f"no module {wanted!r} is registered{nearest(wanted, known)}")

    # Upkeep of the index file

    async def catch_up(self, *, records: int) -> bool:
        """Take what so many further records say of scopes into the index file; tell whether there are more.

        The next question for `scopes` takes in all that there are, in one go: for who has time, this is how
        to do it in slices. Raises `StoreError` where the file cannot be written now.
        """
        until = await self._answering.position()
        return await self._answering.elsewhere.run(
            partial(self._answering.elsewhere.catch_up, until, records)
        )

    async def undeclared(self) -> list[str]:
        """Return the collections, `slice.field`, that the index file has rows of and no module declares."""
        elsewhere = self._answering.elsewhere
        known = {
            f"{name}.{field}"
            for level in self._tree.hierarchy.levels
            for name, module in self._tree.modules(level).items()
            for field, collection in collections_of(module).items()
            if collection.indexes
        }
        return [name for name in await elsewhere.run(elsewhere.names) if name not in known]

    async def forget(self, name: str) -> bool:
        """Remove some rows of a collection from the index file; tell whether there are more.

        A query of it makes them anew. Raises `StoreError` where the file cannot be written now.
        """
        elsewhere = self._answering.elsewhere
        return await elsewhere.run(partial(elsewhere.remove, name))

    async def free_bytes(self) -> int:
        """Return how much of the index file holds nothing any more; 0 where there is none."""
        elsewhere = self._answering.elsewhere
        return await elsewhere.run(elsewhere.free_bytes)

    async def give_back(self, *, max_bytes: int) -> int:
        """Cut up to so many free bytes off the index file, in a short transaction; return how many went."""
        elsewhere = self._answering.elsewhere
        return await elsewhere.run(partial(elsewhere.give_back, max_bytes=max_bytes))

    async def close(self) -> None:
        """Write what has changed to the index file and close it; closing twice does nothing."""
        await self._answering.close()


def _collection(name: str, known: Mapping[str, Collection], of: str | None) -> Collection:
    """Return the collection that is meant; `InvalidQuery` where it is not clear which."""
    if of is not None:
        if of not in known:
            raise InvalidQuery(f"module {name!r} has no collection {of!r}{nearest(of, known)}")
        return known[of]
    indexed = [collection for collection in known.values() if collection.indexes]
    found = indexed or list(known.values())
    if len(found) != 1:
        raise InvalidQuery(
            f"say which collection of {name!r} is meant, of={' or '.join(map(repr, known)) or '?'}"
        )
    return found[0]
