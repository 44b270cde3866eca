"""Queries over the entries of states, across scopes, with declared indexes where there are any."""

from eliza_state.query.answer import Answer, Cursor, Match
from eliza_state.query.conditions import Condition, F, Field, Param, field, param
from eliza_state.query.errors import InvalidQuery
from eliza_state.query.explanation import Explanation
from eliza_state.query.facts import ScopeMatch
from eliza_state.query.grammar import parse
from eliza_state.query.prepared import Prepared
from eliza_state.query.queries import Queries
from eliza_state.query.selectors import Selector, selector

__all__ = [
    "Answer",
    "Condition",
    "Cursor",
    "Explanation",
    "F",
    "Field",
    "InvalidQuery",
    "Match",
    "Param",
    "Prepared",
    "Queries",
    "ScopeMatch",
    "Selector",
    "field",
    "param",
    "parse",
    "selector",
]
