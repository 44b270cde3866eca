"""The command that asks for entries of states, and for scopes."""

from __future__ import annotations

from typing import Annotated, Any, Final, NoReturn

import attrs
import msgspec
import typer
from rich.text import Text

from eliza_state.cli.opening import DEFAULT_STORE, open_store
from eliza_state.cli.options import Debug, Json, Modules, Store
from eliza_state.cli.rendering import abbreviated, brief
from eliza_state.cli.terminal import MISUSED, Misuse, one_line, output, print_json, put, reporting, say
from eliza_state.codec import SERIALIZER
from eliza_state.ordering import order_key
from eliza_state.portal import SyncStateManager
from eliza_state.query import Answer, Condition, InvalidQuery, Match, ScopeMatch, parse

_CONTROLS: Final = dict.fromkeys([*range(32), *range(127, 160)], " ")


def query(  # noqa: PLR0913, PLR0917  # a command's options
    where: Annotated[
        str | None, typer.Option("--where", metavar="CONDITION", help="Which: see below; all without it.")
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(
            "--module", metavar="NAME", help="Whose entries; not needed where only one module has indexes."
        ),
    ] = None,
    of: Annotated[
        str | None, typer.Option("--of", metavar="FIELD", help="Which collection in the module's state.")
    ] = None,
    scopes: Annotated[bool, typer.Option("--scopes", help="Ask for scopes instead of entries.")] = False,
    below: Annotated[str, typer.Option("--below", metavar="PATH", help="At and below this scope.")] = "",
    order: Annotated[
        list[str] | None,
        typer.Option("--order", metavar="FIELD", help="Sort by it, -FIELD descending; repeatable."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show.")] = 20,
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are.")] = False,
    group_by: Annotated[
        str | None, typer.Option("--group-by", metavar="FIELD", help="Say how many have which value.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say how the answer is found.")] = False,
    index: Annotated[
        bool,
        typer.Option("--index", help="Make the index file, or bring it up to date: then others are quick."),
    ] = False,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
    modules: Modules = None,
    debug: Debug = False,
) -> None:
    """Find entries of states, or scopes, wherever they are.

    \b
    A condition compares fields: == != < <= > >= in [..] between .. and ..
    startswith contains exists; joined by and, or, not and parentheses.
    Text stands in quotes. A time is a text such as "2026-01-01T09:00Z".

    \b
    Examples:
      eliza-state query --where 'user == "ada" and topic == "boot"'
      eliza-state query --where 'text contains "tea"' --order -at --limit 5
      eliza-state query --group-by user --below agent:eliza
      eliza-state query --scopes --where 'last_activity < "2026-01-01"' --count
    """
    with reporting(debug=debug), open_store(store, modules or (), read_only=not index) as manager:
        try:
            asked = _Asked(
                where=None if where is None else parse(where),
                below=below,
                order_by=tuple(order or ()),
                limit=limit,
            )
            if scopes:
                if module or of or group_by or explain:
                    raise Misuse("--scopes goes with --where, --below, --order, --limit and --count")
                _show_scopes(manager, asked, only_count=count, as_json=as_json)
                return
            name = module or _indexed_module(manager)
            if count or group_by is not None:
                _show_counts(manager, asked, name, of, group_by=group_by, as_json=as_json)
            elif explain:
                _explain(manager, asked, name, of)
            else:
                _show_entries(manager, asked, name, of, as_json=as_json)
        except InvalidQuery as error:
            _refuse(error)


@attrs.frozen(kw_only=True)
class _Asked:
    """What the options say."""

    where: Condition | None
    below: str
    order_by: tuple[str, ...]
    limit: int


def _indexed_module(manager: SyncStateManager) -> str:
    """Return the one slice that has indexes."""
    tree = manager.tree
    found = [
        name for level in tree.hierarchy.levels for name, each in tree.modules(level).items() if each.indexes
    ]
    if len(found) != 1:
        raise Misuse(f"say whose entries: --module {' or '.join(found) or 'NAME'}")
    return found[0]


def _refuse(error: InvalidQuery) -> NoReturn:
    """Show what is wrong with a condition, and where: on lines of their own."""
    for line in f"error: {error}".split("\n"):
        typer.echo(line.translate(_CONTROLS), err=True)
    raise typer.Exit(MISUSED)


def _show_entries(
    manager: SyncStateManager, asked: _Asked, name: str, of: str | None, *, as_json: bool
) -> None:
    answer = manager.run(
        lambda it: it.query(
            name, of=of, where=asked.where, below=asked.below, order_by=asked.order_by, limit=asked.limit
        )
    )
    console = output()
    for match in answer:
        if as_json:
            print_json(_entry_json(match))
        else:
            head = Text(match.path.encode(), "cyan").append(f"  {abbreviated(match.key)}", "bold")
            put(console, head.append(f"  {one_line(brief(match.entry))}", "not bold default"))
    _say_more(answer, as_json=as_json)


def _show_scopes(manager: SyncStateManager, asked: _Asked, *, only_count: bool, as_json: bool) -> None:
    limit = None if only_count else asked.limit
    answer = manager.run(
        lambda it: it.queries.scopes(
            where=asked.where, below=asked.below, order_by=asked.order_by, limit=limit
        )
    )
    if only_count:
        put(output(), f"{len(answer)}")
        return
    console = output()
    for scope in answer:
        if as_json:
            print_json(msgspec.json.encode(_scope_content(scope)))
        else:
            head = Text(scope.path.encode() or scope.level, "cyan").append(f"  v{scope.version}", "dim")
            head.append(f"  {scope.last_activity:%Y-%m-%d %H:%M:%S}", "dim")
            put(console, head.append("  ended" if scope.phase == "archived" else "", "not dim yellow"))
    _say_more(answer, as_json=as_json)


def _show_counts(
    manager: SyncStateManager,
    asked: _Asked,
    name: str,
    of: str | None,
    *,
    group_by: str | None,
    as_json: bool,
) -> None:
    where, below, console = asked.where, asked.below, output()
    if group_by is None:
        put(console, f"{manager.run(lambda it: it.queries.count(name, of=of, where=where, below=below))}")
        return
    groups = manager.run(lambda it: it.queries.groups(name, by=group_by, of=of, where=where, below=below))
    largest = sorted(groups.items(), key=lambda item: (-item[1], order_key(item[0])))
    for value, number in largest[: asked.limit]:
        if as_json:
            print_json(msgspec.json.encode({"value": _raw(value), "count": number}))
        else:
            put(console, f"{number:>8,}  {one_line(abbreviated(value))}")


def _explain(manager: SyncStateManager, asked: _Asked, name: str, of: str | None) -> None:
    explanation = manager.run(
        lambda it: it.queries.explain(
            name, of=of, where=asked.where, below=asked.below, order_by=asked.order_by, limit=asked.limit
        )
    )
    console = output()
    for line in str(explanation).split("\n"):
        put(console, one_line(line))


def _say_more(answer: Answer[Any], *, as_json: bool) -> None:
    if answer.cursor is not None and not as_json:
        say("there are more: see --limit")


def _raw(value: Any) -> msgspec.Raw:
    cls: Any = type(value)
    typed = {"as_type": cls} if attrs.has(cls) else {}
    return msgspec.Raw(SERIALIZER.serialize(value, mask_secrets=True, **typed).encode())


def _entry_json(match: Match) -> bytes:
    content = {"path": match.path.encode(), "key": _raw(match.key), "entry": _raw(match.entry)}
    return msgspec.json.encode(content)


def _scope_content(scope: ScopeMatch) -> dict[str, object]:
    return {
        "path": scope.path.encode(),
        "level": scope.level,
        "version": scope.version,
        "position": scope.position,
        "last_activity": scope.last_activity.isoformat(),
        "phase": scope.phase,
    }
