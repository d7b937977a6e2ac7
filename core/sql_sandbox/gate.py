"""The gate: what SQL text may be run at all. Everything that is not known to be harmless is refused.

One statement, and it must be a SELECT (DESCRIBE and SUMMARIZE are SELECTs to DuckDB). The parsed tree, as
DuckDB itself serialises it, may hold only the node types listed here, functions of ``functions.py``, common
table expressions in their scope, and plain table names. Which table names exist is left to the caller: the
gate only says which ones the text uses, and where.

It runs in the child process, because DuckDB's parser can be made slow, greedy or dead by a hostile text.
"""

import json
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

import duckdb

from core.sql_sandbox.functions import FUNCTIONS, TABLE_FUNCTIONS
from core.sql_sandbox.pivot import with_markers

MAX_CHARACTERS = 100_000
MAX_SEMICOLONS = 20  # looked at from the end
PIVOT_ADVICE = "This PIVOT needs its values. Write: PIVOT table ON column IN ('first', 'second') USING …"
NOWHERE = 2**64 - 1  # what DuckDB writes for a node that it made up itself

# class -> allowed types; None: any type of that class
EXPRESSIONS: dict[str, frozenset[str] | None] = {
    "BETWEEN": None,
    "CASE": None,
    "CAST": None,
    "COLLATE": None,
    "COLUMN_REF": None,
    "COMPARISON": None,
    "CONJUNCTION": None,
    "CONSTANT": frozenset({"VALUE_CONSTANT"}),
    "FUNCTION": frozenset({"FUNCTION"}),
    "LAMBDA": None,
    "OPERATOR": frozenset(
        (
            "OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_COALESCE OPERATOR_NULLIF "
            "OPERATOR_TRY OPERATOR_UNPACK COMPARE_IN COMPARE_NOT_IN ARRAY_CONSTRUCTOR ARRAY_EXTRACT "
            "ARRAY_SLICE STRUCT_EXTRACT GROUPING_FUNCTION"
        ).split()
    ),
    "PARAMETER": frozenset({"VALUE_PARAMETER"}),
    "POSITIONAL_REFERENCE": None,
    "STAR": frozenset({"STAR"}),
    "SUBQUERY": frozenset({"SUBQUERY"}),
    "TYPE": frozenset({"TYPE"}),
    "WINDOW": None,
}
NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"})
TABLES = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY", "EXPRESSION_LIST", "PIVOT", "SHOW_REF"}
)
PARTS = frozenset(
    {"DISTINCT_MODIFIER", "LIMIT_MODIFIER", "ORDER_MODIFIER", "ORDER_DEFAULT", "ASCENDING", "DESCENDING"}
)
SUMMARIES = frozenset({"DESCRIBE", "SUMMARY"})
OPAQUE = frozenset({"literal", "sample"})  # constants; DuckDB allows nothing else there

# written without brackets they read as columns and DuckDB makes functions of them ("user" is left: many
# tables have such a column)
VALUE_FUNCTIONS = frozenset("current_catalog current_role current_schema current_user session_user".split())

_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

Tree = dict[str, Any]
Scope = frozenset[str]


class Refused(Exception):
    """The text may not be run.

    ``position`` counts bytes of its UTF-8 form, None where no place can be named.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


@dataclass(frozen=True)
class TableReference:
    """A table name as the text has it: its dotted parts, and the byte where it stands."""

    parts: tuple[str, ...]
    position: int | None

    @property
    def name(self) -> str:
        return ".".join(self.parts)


@dataclass
class _Walk:
    """What was seen on the way: table names, and the values of pivots."""

    references: list[TableReference] = field(default_factory=list)
    pivot_values: list[Any] = field(default_factory=list)


def check(connection: "duckdb.DuckDBPyConnection", sql: str) -> list[TableReference]:
    """The tables that ``sql`` reads.

    Raises Refused, or DuckDB's own error where the text cannot be parsed.
    """
    _check_text(sql)
    if _kind(connection, sql) == "MULTI":
        return _check_pivot(connection, sql)
    return _walk_tree(_parse(connection, sql)).references


def _walk_tree(tree: Tree) -> "_Walk":
    walk = _Walk()
    for statement in tree["statements"]:
        try:
            _visit_node(statement["node"], frozenset(), walk)
        except RecursionError:
            raise Refused("The query is nested too deeply. Split it with WITH … AS (…).") from None
    return walk


def without_end(connection: "duckdb.DuckDBPyConnection", sql: str) -> str:
    """``sql`` without its last semicolon and the comments after it, so that it can stand in brackets."""
    end = len(sql)
    for _ in range(MAX_SEMICOLONS):
        end = sql.rfind(";", 0, end)
        if end < 0:
            break
        if _count(connection, sql[:end]) == 1 and _count(connection, sql[end:]) == 0:
            return without_end(connection, sql[:end])
    return sql


def fold(name: str) -> str:
    """How DuckDB compares names: ASCII letters without case, everything else as it is."""
    return name.translate(_LOWER)


def _count(connection: "duckdb.DuckDBPyConnection", text: str) -> int:
    try:
        return len(connection.extract_statements(text))
    except duckdb.Error:
        return -1


def _check_text(sql: str) -> None:
    if len(sql) > MAX_CHARACTERS:
        raise Refused(f"The query is too long: at most {MAX_CHARACTERS:,} characters.", None)
    if "\0" in sql:
        raise Refused("The query contains a NUL character.", len(sql[: sql.index("\0")].encode()))
    if not sql.strip().strip(";"):
        raise Refused("Write a SELECT.", 0)


def _kind(connection: "duckdb.DuckDBPyConnection", sql: str) -> str:
    """SELECT, or MULTI for a PIVOT that finds its values in the data. Raises Refused for anything else."""
    statements = connection.extract_statements(sql)
    if not statements:
        raise Refused("Write a SELECT.", 0)
    if len(statements) > 1:
        at = sql.rfind(statements[1].query.strip())
        raise Refused(
            "One statement at a time, please: this text has several.",
            len(sql[:at].encode()) if at >= 0 else None,
        )
    try:
        kind = str(statements[0].type.name)
    except ValueError:  # one that this Python binding has no name for
        kind = "this"
    if kind not in ("SELECT", "MULTI"):
        advice = " The plan of a query is on the tab Plan beside its result." if kind == "EXPLAIN" else ""
        named = kind.replace("_", " ")
        raise Refused(f"Only SELECT, DESCRIBE and SUMMARIZE can be run here, not {named}.{advice}", 0)
    return kind


def _check_pivot(connection: "duckdb.DuckDBPyConnection", sql: str) -> list[TableReference]:
    """Check the text with its value lists filled in;
    every filled list must have become a pivot's values and nothing else."""
    marked = with_markers(sql)
    try:
        if marked is None or _kind(connection, marked.sql) != "SELECT":
            raise Refused(PIVOT_ADVICE)
        walk = _walk_tree(_parse(connection, marked.sql))
    except duckdb.ParserException:
        raise Refused(PIVOT_ADVICE) from None
    if walk.pivot_values.count(marked.marker) != marked.count:
        raise Refused(PIVOT_ADVICE)
    return [TableReference(reference.parts, None) for reference in walk.references]


def _parse(connection: "duckdb.DuckDBPyConnection", sql: str) -> Tree:
    rows = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    try:
        tree: Tree = json.loads(rows[0][0])
    except RecursionError:
        raise Refused("The query is nested too deeply. Split it with WITH … AS (…).") from None
    if tree.get("error"):
        raise Refused(str(tree.get("error_message") or "The query could not be read."))
    return tree


def _visit(value: Any, scope: Scope, walk: _Walk) -> None:
    """Look at any part of the tree; what it is decides who checks it."""
    if isinstance(value, list):
        for item in value:
            _visit(item, scope, walk)
    elif isinstance(value, dict):
        kind = value.get("type")
        if "class" in value:
            _check_expression(value, scope, walk)
        elif kind is None:
            _visit_children(value, scope, walk)
        elif not isinstance(kind, str):
            _refuse_kind(value, "unknown")
        elif kind in NODES:
            _visit_node(value, scope, walk)
        elif kind in TABLES:
            _check_table(value, scope, walk)
        elif kind in PARTS:
            _visit_children(value, scope, walk)
        else:
            _refuse_kind(value, kind)


def _visit_children(tree: Tree, scope: Scope, walk: _Walk) -> None:
    for key, value in tree.items():
        if key not in OPAQUE:
            _visit(value, scope, walk)


def _visit_node(node: Tree, scope: Scope, walk: _Walk) -> None:
    """A query with its common table expressions: each sees the ones before it, the query sees them all."""
    if node.get("type") not in NODES:
        _refuse_kind(node, node.get("type"))
    for entry in (node.get("cte_map") or {}).get("map", ()):
        _visit(entry["value"], scope, walk)
        scope |= {fold(entry["key"])}
    rest = {key: value for key, value in node.items() if key != "cte_map"}
    if node["type"] == "RECURSIVE_CTE_NODE":
        _visit(rest.pop("left"), scope, walk)  # the start does not see itself
        scope |= {fold(node["cte_name"])}
    _visit_children(rest, scope, walk)


def _check_expression(tree: Tree, scope: Scope, walk: _Walk) -> None:
    kind = tree["class"]
    if kind not in EXPRESSIONS or tree.get("type") not in (EXPRESSIONS[kind] or {tree.get("type")}):
        _refuse_kind(tree, kind)
    if kind in ("FUNCTION", "WINDOW"):
        _check_function(tree, FUNCTIONS)
    elif kind == "TYPE":
        _check_plain_name(tree, tree["type_name"], what="type")
    elif kind == "COLUMN_REF" and len(tree["column_names"]) == 1:
        _check_column(tree, tree["column_names"][0])
    _visit_children(tree, scope, walk)


def _check_column(tree: Tree, name: str) -> None:
    if fold(name) in VALUE_FUNCTIONS:
        message = (
            f'There is no function "{name}" here. If it is a column, write its table in front of it: '
            f"table.{name}."
        )
        raise Refused(message, _position(tree))


def _check_function(tree: Tree, allowed: frozenset[str]) -> None:
    name = tree["function_name"]
    if tree.get("export_state"):
        raise Refused("EXPORT_STATE cannot be used here.", _position(tree))
    if tree.get("catalog"):
        raise Refused(f'Write the function "{name}" without anything in front of it.', _position(tree))
    # column.function() is parsed as a schema and a name; a listed function is harmless in any schema
    if fold(name) in allowed:
        return
    close = get_close_matches(fold(name), allowed, n=1, cutoff=0.75)
    advice = f' Did you mean "{close[0]}"?' if close else ""
    raise Refused(f'There is no function "{name}" here.{advice}', _position(tree))


def _check_table(tree: Tree, scope: Scope, walk: _Walk) -> None:
    kind = tree["type"]
    if kind == "BASE_TABLE":
        _note_reference(tree, scope, walk)
    elif kind == "TABLE_FUNCTION":
        _check_table_function(tree["function"], scope, walk)
    elif kind == "SHOW_REF" and (tree.get("show_type") not in SUMMARIES or tree.get("query") is None):
        raise Refused(
            "SHOW is not available here. Your datasets are listed beside the editor; for the columns of one "
            "write DESCRIBE table or SUMMARIZE table.",
            0,
        )
    elif kind == "PIVOT":
        walk.pivot_values += [
            _constant(entry.get("star_expr")) for pivot in tree["pivots"] for entry in pivot["entries"]
        ]
    rest = {k: v for k, v in tree.items() if not (kind == "TABLE_FUNCTION" and k == "function")}
    _visit_children(rest, scope, walk)


def _note_reference(tree: Tree, scope: Scope, walk: _Walk) -> None:
    path = tuple((tree.get("qualified_name") or {}).get("path") or ())
    if tree.get("at_clause") is not None:
        raise Refused('A table has no AT here. Write "name@2" for version 2.', _position(tree))
    spelled = tuple(part for part in (tree["catalog_name"], tree["schema_name"], tree["table_name"]) if part)
    if path != spelled:
        _refuse_kind(tree, "table name")
    is_common_table_expression = len(path) == 1 and fold(path[0]) in scope
    if not is_common_table_expression:
        walk.references.append(TableReference(path, _position(tree)))


def _constant(tree: Tree | None) -> Any:
    return ((tree or {}).get("literal") or {}).get("text")


def _check_table_function(function: Tree, scope: Scope, walk: _Walk) -> None:
    if function.get("class") != "FUNCTION":
        _refuse_kind(function, function.get("class"))
    if fold(function["function_name"]) not in TABLE_FUNCTIONS:
        message = (
            f'"{function["function_name"]}" cannot be used as a table here. '
            f"Name one of your datasets instead."
        )
        raise Refused(message, _position(function))
    _check_plain_name(function, function["function_name"], what="function")
    _visit_children(function, scope, walk)


def _check_plain_name(tree: Tree, name: str, *, what: str) -> None:
    """No catalog and no schema in front: ``system.main.x`` would name something else than ``x``."""
    path = (tree.get("qualified_name") or {}).get("path", [name])
    if tree.get("catalog") or tree.get("schema") or path != [name]:
        raise Refused(f'Write the {what} "{name}" without anything in front of it.', _position(tree))


def _refuse_kind(tree: Tree, kind: Any) -> NoReturn:
    words = str(kind).removesuffix("_NODE").removesuffix("_QUERY").replace("_", " ")
    raise Refused(f"This form of SQL cannot be run here: {words}.", _position(tree))


def _position(tree: Tree) -> int | None:
    location = tree.get("query_location")
    return location if isinstance(location, int) and location != NOWHERE else None
