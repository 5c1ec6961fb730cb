"""Every small change that can be made to a module: a comparison flipped, a statement dropped."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Mutant", "called_lines", "mutants_of", "mutated"]

ROOT = Path(__file__).resolve().parents[3]

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip
_CALLS = {"max": "min", "min": "max", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One change: where it is, by file and function, and what it makes of what.

    ``key`` stays the same when something else of the file changes; ``line`` is for people.
    """

    file: str
    place: int
    line: int
    key: str


class Site(NamedTuple):
    """Where a tree can be changed, and the doing of it."""

    line: int
    where: str
    text: str
    change: Callable[[], None]


def mutants_of(file: str) -> list[Mutant]:
    """All mutants of a module, in order; ``file`` is relative to the repository."""
    seen: Counter[str] = Counter()
    found = []
    for place, site in enumerate(_sites(_tree(file))):
        key = f"{site.where}: {site.text}"
        seen[key] += 1
        if seen[key] > 1:
            key += f" ({seen[key]})"
        found.append(Mutant(file, place, site.line, key))
    return found


def mutated(file: str, place: int) -> ast.Module:
    """The module with one of the changes made."""
    tree = _tree(file)
    next(site for number, site in enumerate(_sites(tree)) if number == place).change()
    return ast.fix_missing_locations(tree)


def called_lines(file: str) -> set[int]:
    """The lines that run when something is called, and not when the module is imported."""
    return {
        line
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for line in range(node.body[0].lineno, (node.end_lineno or 0) + 1)
    }


def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def _sites(tree: ast.Module) -> Iterator[Site]:
    for node, where in _statements(tree.body, ""):
        yield from _dropped(node, where)
        yield from _inside(node, where)


def _statements(body: list[ast.stmt], where: str) -> Iterator[tuple[ast.stmt, str]]:
    """Every statement that does something, with the function it is in."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _statements(node.body, f"{where}.{node.name}".lstrip("."))
            continue
        if _is_declaration(node):
            continue
        yield node, where or f"module, {_text(getattr(node, 'targets', [node])[0])}"
        for field in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, field, []), where)
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body, where)


def _is_declaration(node: ast.stmt) -> bool:
    """Imports, docstrings, what is for type checkers, and lists of names."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass | ast.Assert):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return True
    names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
    return names in (["__all__"], ["__slots__"])


def _dropped(node: ast.stmt, where: str) -> Iterator[Site]:
    """The statement left out, or a return without its value."""
    droppable = ast.Expr | ast.Assign | ast.AugAssign | ast.Raise | ast.Continue | ast.Break
    if where.startswith("module"):
        return
    if isinstance(node, droppable | ast.Delete):
        yield Site(node.lineno, where, f"{_text(node)} -> pass", lambda: _become(node, ast.Pass()))
    elif isinstance(node, ast.Return) and node.value is not None:
        text = f"{_text(node)} -> return None"
        # ``None`` is as false as ``False`` to all who ask, and that becomes ``True`` below.
        if not (isinstance(node.value, ast.Constant) and node.value.value in (None, False)):
            yield Site(node.lineno, where, text, lambda: _become(node, ast.Return(None)))


def _inside(node: ast.stmt, where: str) -> Iterator[Site]:
    """Changes of the expressions of one statement, not of those in its blocks."""
    if isinstance(node, ast.Raise):
        # What an error says is for people.
        return
    for field in ("test", "value", "iter", "targets", "target", "items"):
        part = getattr(node, field, None)
        for expression in part if isinstance(part, list) else [part]:
            if isinstance(expression, ast.withitem):
                expression = expression.context_expr  # noqa: PLW2901
            if isinstance(expression, ast.expr):
                yield from _expression(expression, where)
    if isinstance(node, ast.If | ast.While):
        yield _negated(node, where)
    if isinstance(node, ast.AugAssign) and type(node.op) in _OPERATORS:
        yield _set(node, where, "op", _OPERATORS[type(node.op)]())


def _expression(root: ast.expr, where: str) -> Iterator[Site]:
    for node in _outside_strings(root):
        if isinstance(node, ast.Compare):
            for place, operator in enumerate(node.ops):
                for other in _COMPARISONS[type(operator)]:
                    ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                    yield _set(node, where, "ops", ops)
        elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            yield _set(node, where, "op", _OPERATORS[type(node.op)]())
        elif isinstance(node, ast.BoolOp):
            yield _set(node, where, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            operand = node.operand
            text = f"{_text(node)} -> {_text(operand)}"
            yield Site(
                node.lineno, where, text,
                lambda node=node: _become(node, ast.UnaryOp(ast.Not(), _not(node.operand))),
            )  # fmt: skip
        elif isinstance(node, ast.IfExp):
            yield _negated(node, where)
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int):
            other = not node.value if isinstance(node.value, bool) else node.value + 1
            yield _set(node, where, "value", other)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in _CALLS:
            name = getattr(node.func, "id", "")
            yield _set(node.func, where, "id", _CALLS[name], shown=node)


def _outside_strings(root: ast.AST) -> Iterator[ast.AST]:
    """The expression and its parts; not those that are formatted into a string."""
    yield root
    for child in ast.iter_child_nodes(root):
        if isinstance(child, ast.expr | ast.comprehension | ast.keyword):
            if isinstance(child, ast.JoinedStr):
                continue
            yield from _outside_strings(child)


def _negated(node: Any, where: str) -> Site:
    text = f"{'while' if isinstance(node, ast.While) else 'if'} {_text(node.test)} -> negated"

    def change() -> None:
        node.test = _not(node.test)

    return Site(node.lineno, where, text, change)


def _not(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)


def _set(node: Any, where: str, field: str, value: Any, shown: Any = None) -> Site:
    shown = node if shown is None else shown
    before, kept = _text(shown), getattr(node, field)
    setattr(node, field, value)
    text = f"{before} -> {_text(shown)}"
    setattr(node, field, kept)
    return Site(node.lineno, where, text, lambda: setattr(node, field, value))


def _become(node: Any, other: ast.AST) -> None:
    """Turn a node into another one, in place: whoever refers to it has the other."""
    line, column = node.lineno, node.col_offset
    fields = dict(other.__dict__)
    node.__class__ = other.__class__
    node.__dict__.clear()
    node.__dict__.update(fields, lineno=line, col_offset=column)


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 100 else text[:97] + "..."
