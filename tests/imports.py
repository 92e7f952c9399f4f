"""
What the modules of a package import of one another, and how large they and their classes are: read from the source.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, set[str]]


def imports(path: Path, package: str) -> Iterator[tuple[str, str]]:
    """
    Give every import of a file, also those inside functions and for type checkers only.

    @param package: the full name of the package that relative imports start from.
    @return: pairs of a module's full name and of what is taken from it, "" if it is the module itself.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from ((module, alias.name) for alias in node.names)


def packageOf(path: Path, root: Path) -> str:
    """
    Return the full name of the package that a file stands in.

    @param root: the directory of the outermost package.
    """
    return ".".join(path.relative_to(root.parent).parent.parts)


def moduleGraph(root: Path, below: Path | None = None) -> Graph:
    """
    Return which modules each module imports, by their full names.

    @param root: the directory of the outermost package.
    @param below: the directory whose modules count; all of the package's by default.
    """
    paths = {}
    for path in sorted((below or root).glob("**/*.py")):
        package = packageOf(path, root)
        paths[package if path.stem == "__init__" else f"{package}.{path.stem}"] = path
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        found = graph[name] = set()
        for module, taken in imports(path, packageOf(path, root)):
            # What is taken from a package may be a module of its own.
            target = f"{module}.{taken}" if f"{module}.{taken}" in paths else module
            if target in paths and target != name:
                found.add(target)
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """
    Return the strongly connected groups of two modules or more: each imports each other one, by way of others perhaps.
    """
    reached = {name: _reachable(graph, name) for name in graph}
    found: list[list[str]] = []
    for name in sorted(graph):
        group = sorted(other for other in reached[name] if name in reached[other])
        if len(group) > 1 and group not in found:
            found.append(group)
    return found


def _reachable(graph: Graph, start: str) -> set[str]:
    seen = {start}
    left = [start]
    while left:
        for name in graph[left.pop()] - seen:
            seen.add(name)
            left.append(name)
    return seen


def attributes(path: Path) -> dict[str, set[str]]:
    """
    Return what instances of each class of a file hold: the class's slots, and what its methods set on C{self}.
    """
    found: dict[str, set[str]] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = _slots(node) | {
                each.attr
                for each in ast.walk(node)
                if isinstance(each, ast.Attribute)
                and isinstance(each.ctx, ast.Store)
                and isinstance(each.value, ast.Name)
                and each.value.id == "self"
                and each.attr != "__class__"
            }
    return found


def privateNames(path: Path) -> set[str]:
    """
    Return the names with one leading underscore that a file uses: as attributes, by C{getattr}, and in its imports.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
        elif isinstance(node, ast.ImportFrom):
            found.update((node.module or "").split("."), (alias.name for alias in node.names))
        elif isinstance(node, ast.Import):
            found.update(part for alias in node.names for part in alias.name.split("."))
    return {name for name in found if len(name) > 1 and name[0] == "_" != name[1]}


def ownNames(path: Path) -> set[str]:
    """
    Return the names that a file makes itself: its functions, classes, variables, and its classes' attributes.
    """
    found = set().union(*attributes(path).values())
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found | {path.stem}


def _slots(node: ast.ClassDef) -> set[str]:
    for each in node.body:
        if isinstance(each, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__slots__" for t in each.targets):
            slots = ast.literal_eval(each.value)
            return {slots} if isinstance(slots, str) else set(slots)
    return set()
