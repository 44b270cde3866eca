"""Statements in the dialects for which the tests have no server, and parameters in every form."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Executable
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from eliza_state.storage.sql.schema import COLUMNS, key_value_table
from eliza_state.storage.sql.statements import ROLLED, Form, Statements, statements_for

DIALECTS: dict[Form, Any] = {
    Form.EACH: sqlite.dialect(),
    Form.LISTS: mysql.dialect(),
    Form.ARRAYS: postgresql.dialect(),
}
TABLES = {form: key_value_table("kv", dialect.name) for form, dialect in DIALECTS.items()}
PLACES = "(kv.space, kv.name) IN (__[POSTCOMPILE_places])"
ENTRY = "kv.space, kv.name, kv.value, kv.version, kv.deadline_ms, kv.ttl_ms"
MARK = "kv.space, kv.name, kv.version, kv.deadline_ms, kv.ttl_ms, kv.value IS NULL AS is_gone"
EXPIRED = "SELECT kv.space, kv.name FROM kv WHERE kv.deadline_ms <= %s ORDER BY kv.deadline_ms LIMIT %s"

ON_MYSQL = {
    "read": f"SELECT {ENTRY} FROM kv WHERE {PLACES}",
    "look": f"SELECT {MARK} FROM kv WHERE {PLACES}",
    "lock": f"SELECT {MARK} FROM kv WHERE {PLACES} ORDER BY kv.space, kv.name FOR UPDATE",
    "insert": "INSERT INTO kv (space, name, value, version, deadline_ms, ttl_ms, updated_at_ms)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s)",
    "update": "UPDATE kv SET value=%s, version=%s, deadline_ms=%s, ttl_ms=%s, updated_at_ms=%s"
    " WHERE kv.space = %s AND kv.name = %s",
    "roll": "UPDATE kv SET deadline_ms=%s WHERE kv.space = %s AND kv.name = %s",
    "delete": f"DELETE FROM kv WHERE {PLACES}",
    "expired": EXPIRED,
    "sweepable": f"{EXPIRED} FOR UPDATE SKIP LOCKED",
    "names": f"SELECT {MARK} FROM kv WHERE kv.space = %s AND kv.name >= %s AND kv.name < %s"
    " ORDER BY kv.name LIMIT %s",
    "spaces": f"SELECT {MARK} FROM kv WHERE (kv.space, kv.name) > (%s, %s) AND kv.space < %s"
    " ORDER BY kv.space, kv.name LIMIT %s",
    "clear": "DELETE FROM kv WHERE kv.space >= %s AND kv.space < %s",
}


def compiled(statement: Any, form: Form) -> Any:
    return statement.compile(dialect=DIALECTS[form])


def one_line(statement: Any, form: Form) -> str:
    return " ".join(str(compiled(statement, form)).split())


def statements_of(form: Form) -> dict[str, Executable]:
    built = statements_for(TABLES[form], form)._asdict()
    return {name: built[name] for name in built if name != "form" and built[name] is not None}


def test_mysql_gets_these_statements() -> None:
    found = {name: one_line(each, Form.LISTS) for name, each in statements_of(Form.LISTS).items()}

    assert ON_MYSQL == found


def test_mysql_gets_this_table() -> None:
    table = TABLES[Form.LISTS]
    (index,) = table.indexes

    assert (
        "CREATE TABLE kv ( space VARBINARY(1536) NOT NULL, name VARBINARY(1536) NOT NULL, value LONGBLOB,"
        " version BIGINT NOT NULL, deadline_ms BIGINT, ttl_ms BIGINT, updated_at_ms BIGINT NOT NULL,"
        " PRIMARY KEY (space, name) )"
    ) == one_line(CreateTable(table), Form.LISTS)
    assert "CREATE INDEX kv_deadline ON kv (deadline_ms)" == one_line(CreateIndex(index), Form.LISTS)


def test_mysql_looks_for_pairs_of_bytes() -> None:
    statements = statements_for(TABLES[Form.LISTS], Form.LISTS)
    (parameters,) = statements.for_keys([("a/", "ä"), ("", "b")])
    found = compiled(statements.lock, Form.LISTS)
    expanded = found.construct_expanded_state(parameters)

    assert "IN ((%s, %s), (%s, %s))" in expanded.statement
    assert 4 == len(expanded.positional_parameters)
    processors = {**found._bind_processors, **expanded.processors}
    names = expanded.positiontup
    assert [b"a/", "ä".encode(), b"", b"b"] == [
        processors[name](expanded.parameters[name]) for name in names if name in processors
    ]


def test_only_what_has_a_deadline_is_indexed_where_that_can_be() -> None:
    forms = (Form.EACH, Form.ARRAYS)
    indexes = {form: index for form in forms for index in TABLES[form].indexes}
    found = {form: one_line(CreateIndex(index), form) for form, index in indexes.items()}

    partial = "CREATE INDEX kv_deadline ON kv (deadline_ms) WHERE deadline_ms IS NOT NULL"
    assert {Form.EACH: partial, Form.ARRAYS: partial} == found


@pytest.mark.parametrize("form", Form)
def test_no_value_is_in_the_text_of_a_statement(form: Form) -> None:
    for name, statement in statements_of(form).items():
        text = one_line(statement, form)

        assert "'" not in text, name


def test_the_driver_of_sqlite_gets_space_and_name_in_this_order() -> None:
    statements = statements_for(TABLES[Form.EACH], Form.EACH)
    for statement in (statements.read, statements.look):
        assert ["row_space", "row_name"] == compiled(statement, Form.EACH).positiontup


def test_locks_are_for_servers() -> None:
    texts = {form: one_line(statements_for(TABLES[form], form).lock, form) for form in Form}

    assert {Form.EACH: False, Form.LISTS: True, Form.ARRAYS: True} == {
        form: text.endswith("FOR UPDATE") for form, text in texts.items()
    }


def test_each_dialect_has_a_form() -> None:
    assert [Form.EACH, Form.ARRAYS, Form.LISTS, Form.LISTS] == [
        Form.of(name) for name in ("sqlite", "postgresql", "mysql", "mariadb")
    ]


# Parameters


def many(count: int) -> list[tuple[str, str]]:
    return [("a/", f"{number}") for number in range(count)]


@pytest.mark.parametrize("form", [Form.LISTS, Form.ARRAYS])
@pytest.mark.parametrize("count", [0, 1, 1_000, 1_001, 2_500])
def test_keys_are_looked_for_a_thousand_at_once(form: Form, count: int) -> None:
    parts = list(statements_for(TABLES[form], form).for_keys(many(count)))
    name = "places" if form is Form.LISTS else "row_name"

    assert (count + 999) // 1_000 == len(parts)
    assert count == sum(len(part[name]) for part in parts)
    assert all(len(part[name]) <= 1_000 for part in parts)


def test_rows_are_a_list_each_or_an_array_a_column() -> None:
    rows = [("", "a", 5), ("s/", "b", None)]

    assert {"row_space": ["", "s/"], "row_name": ["a", "b"], "row_deadline_ms": [5, None]} == rows_of(
        Form.ARRAYS, rows
    )
    assert [
        {"row_space": "", "row_name": "a", "row_deadline_ms": 5},
        {"row_space": "s/", "row_name": "b", "row_deadline_ms": None},
    ] == rows_of(Form.LISTS, rows)


def rows_of(form: Form, rows: list[Any]) -> Any:
    statements: Statements = statements_for(TABLES[form], form)
    return statements.for_rows(ROLLED, rows)


@pytest.mark.parametrize("form", Form)
def test_statements_take_the_parameters_that_are_made_for_them(form: Form) -> None:
    statements = statements_for(TABLES[form], form)
    row = ("", "a", b"x", 1, None, None, 2)
    parameters = statements.for_rows(COLUMNS, [row])
    given = set(parameters if isinstance(parameters, dict) else parameters[0])
    writing = [statements.insert, statements.update, statements.overwrite]

    assert all(given == needed(each, form) for each in writing if each is not None)


def needed(statement: Executable, form: Form) -> set[str]:
    return {name for name, value in compiled(statement, form).params.items() if value is None}
