"""The source that decides a number: modules, and all of this package that they import."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


@cache
def source_digest(*modules: str, besides: tuple[str, ...] = ()) -> str:
    """SHA-256 of the source of modules and of every module that they import, near or far.

    Args:
        modules: names inside this package, as ``evaluation.judging``.
        besides: modules and packages that do not count, nor what only they import.

    Example:
        >>> source_digest("evaluation.frames") == source_digest("evaluation.motion")
        False
    """
    total = hashlib.sha256()
    for path in source_files(*modules, besides=besides):
        total.update(path.relative_to(_PACKAGE).as_posix().encode())
        total.update(path.read_bytes())
    return total.hexdigest()


@cache
def source_files(*modules: str, besides: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """The files of modules and of all that they import from this package, sorted.

    What a function imports when it is called counts; what is imported for type checkers only,
    and the lists of names in packages that are passed through, do not.

    Raises:
        ValueError: there is no such module.
    """
    found: set[Path] = set()
    open_ends = [_file(module) for module in modules]
    for module, path in zip(modules, open_ends, strict=True):
        if path is None:
            raise ValueError(f"{_PACKAGE.name} has no module {module!r}")
    while open_ends:
        path = open_ends.pop()
        if path is not None and path not in found:
            found.add(path)
            open_ends += [_file(name) for name in _imports(path) if not _is_in(name, besides)]
    return tuple(sorted(found))


def _file(module: str) -> Path | None:
    place = _PACKAGE.joinpath(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def _imports(path: Path) -> Iterator[str]:
    """Names of this package's modules that a file imports, as far as they are modules."""
    for node in _nodes(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            first, *rest = name.split(".")
            if first == _PACKAGE.name and rest:
                yield ".".join(rest)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``."""
    yield node
    for child in ast.iter_child_nodes(node):
        checked = isinstance(child, ast.If) and isinstance(child.test, ast.Name)
        if not (checked and child.test.id == "TYPE_CHECKING"):  # type: ignore[attr-defined]
            yield from _nodes(child)
