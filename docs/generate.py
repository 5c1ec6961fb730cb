"""Writes docs/reference.md from the docstrings of the package and the parser of its commands.

    python docs/generate.py            write the page
    python docs/generate.py --check    exit with 1 if the page is not what would be written

Names, signatures and docstrings are read from the source with ``ast``: what stands there is what
the page says, in the order in which it stands there. Only the standard library is needed, and for
the commands, which are read from the parser itself, what chanlog needs.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "chanlog"
PAGE = ROOT / "docs" / "reference.md"

Function = ast.FunctionDef | ast.AsyncFunctionDef

HEAD = """\
# Reference

Every public name and every command. This page is generated from the docstrings by \
`python docs/generate.py`; correct it there.

A coroutine twin stands with its original: `apublish` takes what `publish` takes, gives what it \
gives and raises what it raises, without blocking the event loop.
"""

# The chapters, and which names of `chanlog.__all__` stand in each. A name that is in none of them
# is an error, so that a new name finds its place.
CHAPTERS = {
    "Opening": ["open", "aopen", "connect", "aconnect", "verify", "averify"],
    "Log": ["Log"],
    "Channel": ["Channel"],
    "Message": ["Message", "Gap"],
    "Subscription": ["Subscription"],
    "Replay": ["Replay"],
    "Cursor": ["Cursor"],
    "Producer": ["Producer"],
    "Frame": ["Frame"],
    "Group": ["Group", "Delivery", "GroupInfo"],
    "State and options": ["Capabilities", "ChannelInfo", "Statistics", "Retention"],
}

# What users meet and do not import: shown at the end of a chapter.
BESIDES = {
    "Opening": [
        ("log", "EmbeddedLog"),
        ("storage/recovery", "Recovery"),
        ("storage/recovery", "TornTail"),
        ("storage/recovery", "Damage"),
        ("storage/verifying", "Verification"),
        ("storage/verifying", "Problem"),
    ],
}

# What tests import: shown in a chapter of its own, with the contract behind it.
TESTING = [
    ("testing/harness", "Harness"),
    ("testing/embedded", "MemoryHarness"),
    ("testing/embedded", "DiskHarness"),
    ("testing/remote", "ServerHarness"),
    ("testing/servers", "Server"),
    ("testing/servers", "RedisServer"),
    ("testing/servers", "NatsServer"),
    ("testing/proxy", "Proxy"),
]
CONTRACT = "testing/conformance"

# What an object is called in the signatures of its methods, where that is not its class's name.
CALLED = {"EmbeddedLog": "log"}

# Twins whose names do not differ by the prefix alone.
TWINS = {"sync": "async_"}


@dataclass(frozen=True)
class Definition:
    """Where a public name is defined."""

    name: str
    module: str
    node: ast.stmt


@cache
def module_tree(module: str) -> ast.Module:
    """The parsed source of ``module`` (its path below the package, without the suffix)."""
    path = PACKAGE / f"{module}.py"
    if not path.exists():
        path = PACKAGE / module / "__init__.py"
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def declared(module: str) -> list[str]:
    """The literal ``__all__`` of ``module``; a starred part is what another module declares."""
    for node in module_tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            assert isinstance(node.value, ast.List | ast.Tuple)
            return [
                element.value if isinstance(element, ast.Constant) else f"*{ast.unparse(element)}"
                for element in node.value.elts
            ]
    raise LookupError(f"{module} has no literal __all__")


def public() -> dict[str, Definition]:
    """The names that ``chanlog.__all__`` declares, with their definitions."""
    found: dict[str, Definition] = {}
    for node in module_tree("__init__").body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            names = [alias.name for alias in node.names if alias.name != "__all__"]
            for name in declared(node.module) if names == ["*"] else names:
                found[name] = definition(node.module.replace(".", "/"), name)
    wanted = [name for name in declared("__init__") if not name.startswith("*")]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise LookupError(f"declared by chanlog and not imported by it: {missing}")
    return found


def definition(module: str, name: str) -> Definition:
    """The definition of ``name``, followed through imports within the package."""
    for node in module_tree(module).body:
        if isinstance(node, ast.ClassDef | Function) and node.name == name:
            return Definition(name, module, node)
        if isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name and node.module:
                    folder = _folder(module)
                    folder = folder[: len(folder) - node.level + 1]
                    return definition("/".join([*folder, node.module]), alias.name)
    raise LookupError(f"{name} is not defined in {module}")


def _folder(module: str) -> list[str]:
    """Where the relative imports of ``module`` begin."""
    inside = module.split("/")
    return inside[:-1] if (PACKAGE / f"{module}.py").exists() else inside


def markdown(text: str) -> str:
    """A docstring as Markdown: code spans, and examples as blocks."""
    text = re.sub(r":(?:class|meth|func|mod|exc|data):`~?(?:\w+\.)*(\w+)`", r"`\1`", text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    parts: list[str] = []
    for part in re.split(r"\n\s*\n", text):
        indented = all(line.startswith("    ") for line in part.splitlines())
        example = part.lstrip().startswith(">>>")
        if indented or example:
            body = inspect.cleandoc(part)
            if parts and parts[-1].startswith("```text\n") and example:
                parts[-1] = parts[-1].removesuffix("\n```") + f"\n\n{body}\n```"
            else:
                parts.append(f"```text\n{body}\n```")
        else:
            parts.append(part)
    return re.sub(r"::$", ":", "\n\n".join(parts), flags=re.MULTILINE)


def docstring(node: ast.AST) -> str:
    """The docstring of ``node`` as Markdown; empty if there is none."""
    assert isinstance(node, ast.ClassDef | Function)
    return markdown(ast.get_docstring(node) or "")


def signature(node: Function, owner: str | None = None) -> str:
    """How ``node`` is called, on one line or, where that is long, on one for each argument."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults += arguments.defaults
    if owner and positional and positional[0].arg in {"self", "cls"}:
        positional, defaults = positional[1:], defaults[1:]
    parts = [_argument(a, d) for a, d in zip(positional, defaults, strict=True)]
    if arguments.vararg:
        parts.append(f"*{_argument(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += [
        _argument(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        parts.append(f"**{_argument(arguments.kwarg, None)}")
    word = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    name = f"{owner}.{node.name}" if owner else node.name
    gives = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{word}{name}({', '.join(parts)}){gives}"
    if len(line) <= 90:
        return line
    inside = "".join(f"    {part},\n" for part in parts)
    return f"{word}{name}(\n{inside}){gives}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg
    if argument.annotation:
        text += f": {_value(argument.annotation)}"
    if default is not None:
        text += f" = {_value(default)}" if argument.annotation else f"={_value(default)}"
    return text


def _value(default: ast.expr) -> str:
    return ast.unparse(default).replace("'", '"')


def _decorators(node: Function) -> set[str]:
    return {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}


def class_section(node: ast.ClassDef, level: int) -> Iterator[str]:
    """A class: what it is, its fields, its properties and its methods."""
    hashes = "#" * level
    yield f"{hashes} {node.name}\n"
    yield docstring(node) + "\n"
    fields = [
        item for item in node.body if isinstance(item, ast.AnnAssign) and _public(item.target)
    ]
    if fields:
        yield "```text\n" + "\n".join(ast.unparse(item) for item in fields) + "\n```\n"
    methods = {
        item.name: item
        for item in node.body
        if isinstance(item, Function) and not item.name.startswith("_")
    }
    loops = {"__iter__": "for message in {}", "__aiter__": "async for message in {}"}
    for item in node.body:
        if isinstance(item, Function) and item.name in loops and ast.get_docstring(item):
            yield f"{hashes}# `{loops[item.name].format(node.name.lower())}`\n"
            yield docstring(item) + "\n"
    for name, item in methods.items():
        if not ast.get_docstring(item):
            # What an implementation says nothing about is documented in the interface.
            continue
        if name in TWINS.values() or (name.startswith("a") and name[1:] in methods):
            continue
        twin = methods.get(TWINS.get(name, f"a{name}"))
        called = CALLED.get(node.name, node.name.lower())
        yield from function_section(item, twin, level + 1, called)


def _public(target: ast.expr) -> bool:
    return not ast.unparse(target).startswith("_")


def function_section(
    node: Function, twin: Function | None, level: int, owner: str | None
) -> Iterator[str]:
    """A function or method, with its coroutine twin where it has one."""
    names = f"{node.name}, {twin.name}" if twin else node.name
    yield f"{'#' * level} {names}\n"
    if _decorators(node) & {"property", "cached_property"}:
        gives = f": {ast.unparse(node.returns)}" if node.returns else ""
        yield f"```text\n{owner}.{node.name}{gives}\n```\n"
    else:
        lines = signature(node, owner)
        if twin:
            lines += f"\nawait {owner}.{twin.name}(...)" if owner else f"\nawait {twin.name}(...)"
            if "AsyncIterator" in ast.unparse(twin.returns or ast.Constant(None)):
                lines = lines.replace("\nawait ", "\nasync for ... in ")
        yield f"```text\n{lines}\n```\n"
    yield docstring(node) + "\n"
    if twin and not re.fullmatch(
        r"`\w+` (without blocking|for) (the|an) event loop\.", docstring(twin)
    ):
        yield f"`{twin.name}`: {docstring(twin)}\n"


def error_sections(errors: list[Definition]) -> Iterator[str]:
    """The exceptions, in the order and under the comments of the source."""
    yield "## Errors\n"
    for error in errors:
        node = error.node
        assert isinstance(node, ast.ClassDef)
        bases = ", ".join(f"`{ast.unparse(base)}`" for base in node.bases)
        yield f"### {node.name}\n"
        yield f"Derives from {bases}. {docstring(node)}\n"
        facts = [item for item in node.body if isinstance(item, ast.AnnAssign)]
        if facts:
            yield (
                "Attributes: "
                + ", ".join(
                    f"`{ast.unparse(item.target)}: {ast.unparse(item.annotation)}`"
                    for item in facts
                )
                + ".\n"
            )


def testing_sections() -> Iterator[str]:
    """What ``chanlog.testing`` has, and every scenario of the contract with what it promises."""
    yield "## Testing\n"
    yield (
        "`chanlog.testing` needs the extra `test`. How to use it: "
        "[with pytest](howto/testing.md#with-pytest), "
        "[for a backend of your own](howto/conformance.md).\n"
    )
    for module, name in TESTING:
        found = definition(module, name)
        assert isinstance(found.node, ast.ClassDef)
        yield from class_section(found.node, 3)
    yield "## The contract\n"
    contract = definition(CONTRACT, "Contract").node
    assert isinstance(contract, ast.ClassDef)
    parts = [definition(CONTRACT, ast.unparse(base)).node for base in contract.bases]
    for part in parts:
        assert isinstance(part, ast.ClassDef)
        yield f"### {part.name}\n"
        yield docstring(part) + "\n"
        rows = ["| scenario | promise | needs |", "| --- | --- | --- |"]
        for item in part.body:
            if isinstance(item, Function) and item.name.startswith("test_"):
                promise = " ".join(docstring(item).split()).replace("|", "\\|")
                rows.append(f"| `{item.name}` | {promise} | {_needs(item)} |")
        yield "\n".join(rows) + "\n"


def _needs(scenario: Function) -> str:
    """What the decorators of a scenario ask a backend for."""
    return ", ".join(
        f"`{ast.literal_eval(argument)}`"
        for decorator in scenario.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "needs"
        for argument in decorator.args
    )


def command_sections() -> Iterator[str]:
    """The commands, from the parser that also prints ``--help``."""
    if not (PACKAGE / "cli" / "parser.py").exists():
        return
    sys.path.insert(0, str(ROOT))
    from chanlog.cli import parser

    top = parser.build()
    common = [a for a in top._actions if a.option_strings]
    known = {option for action in common for option in action.option_strings}
    yield "## Commands\n"
    yield _sentence(top.description) + "\n"
    yield "`python -m chanlog` is the same as `chanlog`.\n"
    yield markdown(_after_first_line(PACKAGE / "cli" / "__init__.py")) + "\n"
    yield "Before the command (`--help` and `--color` behind it, too):\n"
    yield _table(common)
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from _command(name, command, known)
    if top.epilog:
        yield _sentence(top.epilog) + "\n"


def _after_first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[2].strip()


def _command(name: str, command: argparse.ArgumentParser, known: set[str]) -> Iterator[str]:
    actions = [a for a in command._actions if not known & set(a.option_strings)]
    yield f"### chanlog {name}\n"
    words = [f"chanlog {name}"]
    for action in actions:
        if action.option_strings and action.required:
            words.append(f"{action.option_strings[0]} {_metavar(action)}")
    words += ["[options]"] if any(a.option_strings and not a.required for a in actions) else []
    words += [_positional(a) for a in actions if not a.option_strings]
    yield f"```text\n{' '.join(words)}\n```\n"
    yield _sentence(command.description) + "\n"
    yield _table(actions)


def _table(actions: list[argparse.Action]) -> str:
    rows = []
    for action in actions:
        if action.help is argparse.SUPPRESS:
            continue
        text = (action.help or "") % {**vars(action), "prog": "chanlog"}
        if action.option_strings:
            value = "" if action.nargs == 0 else f" {_metavar(action)}"
            spelled = ", ".join(f"`{option}{value}`" for option in action.option_strings)
        else:
            spelled = f"`{_metavar(action)}`"
        rows.append(f"| {spelled} | {markdown(text)} |".replace("\n", " "))
    return "\n".join(["| argument | meaning |", "| --- | --- |", *rows]) + "\n"


def _metavar(action: argparse.Action) -> str:
    if action.metavar:
        return action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    if action.choices:
        # A bar would end the cell of a table.
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper() if action.option_strings else action.dest


def _positional(action: argparse.Action) -> str:
    name = _metavar(action)
    return {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}.get(str(action.nargs), name)


def _sentence(text: str | None) -> str:
    text = markdown(inspect.cleandoc(text or ""))
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", ":")) else ".")


def page() -> str:
    """The whole page."""
    names = public()
    errors = [d for d in names.values() if d.module == "errors"]
    placed = {name for chapter in CHAPTERS.values() for name in chapter} | {d.name for d in errors}
    homeless = sorted(names.keys() - placed)
    if homeless:
        raise LookupError(f"no chapter of the reference holds {homeless}; see CHAPTERS")
    parts = [HEAD]
    parts.append(markdown(ast.get_docstring(module_tree("interface")) or "") + "\n")
    for chapter, members in CHAPTERS.items():
        present = [names[name] for name in members if name in names]
        if not present:
            continue
        single = len(present) == 1 and isinstance(present[0].node, ast.ClassDef)
        if not single:
            parts.append(f"## {chapter}\n")
        twins = {d.name: d for d in present}
        for found in present:
            if isinstance(found.node, ast.ClassDef):
                parts += class_section(found.node, 2 if single else 3)
            elif not (found.name[0] == "a" and found.name[1:] in twins):
                twin = twins.get(f"a{found.name}")
                assert isinstance(found.node, Function)
                node = twin.node if twin else None
                assert node is None or isinstance(node, Function)
                parts += function_section(found.node, node, 3, "chanlog")
        for module, name in BESIDES.get(chapter, ()):
            other = definition(module, name).node
            assert isinstance(other, ast.ClassDef)
            parts += class_section(other, 3)
    parts += error_sections(errors)
    parts += testing_sections()
    parts += command_sections()
    return "\n".join(parts)


def main() -> int:
    """Write the page, or check it."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument(
        "--check",
        action="store_true",
        help="change nothing; exit with 1 if the page is not what would be written",
    )
    text = page()
    if arguments.parse_args().check:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print("docs/reference.md is not up to date: run python docs/generate.py", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
