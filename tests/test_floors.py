"""The house keeps its floors: imports go down, never up, and never round in a circle."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "quickstep"
FLOORS = {
    "arrays": 0,
    "config": 0,
    "files": 0,
    "processes": 0,
    "diffusion": 1,
    "losses": 1,
    "networks": 2,
    "conditions": 2,
    "checkpoints": 3,
    "teachers": 3,
    "data": 3,
    "methods": 4,
    "training": 5,
    "animation": 5,
    "evaluation": 6,
    "planning": 6,
    "preparation": 6,
    "apps": 7,
}
ENTRY_POINTS = {"__init__", "__main__"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> list[str]:
    """Full names of the project's own modules that a file imports, lazy imports included."""
    tree = ast.parse(path.read_text())
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor they go to"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith("quickstep.")]


def test_every_room_has_a_floor():
    assert {room(path) for path in MODULES} - ENTRY_POINTS - {"models"} <= set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path):
    here = room(path)
    if here in ENTRY_POINTS:
        return
    for name in imported_modules(path):
        there = name.split(".")[1]
        if there in FLOORS and there != here:
            assert FLOORS[there] < FLOORS[here], f"{path} imports {name}"


def test_no_import_goes_round_in_a_circle():
    graph = {module_name(path): direct_imports(path) for path in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"import cycle: {' -> '.join((*trail, module))}"
        if module in done:
            return
        for other in graph.get(module, ()):
            visit(other, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def module_name(path: Path) -> str:
    parts = ("quickstep", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def direct_imports(path: Path) -> set[str]:
    """Modules imported when this one is imported: function bodies are left out."""
    known = {module_name(other) for other in MODULES}
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("quickstep"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
    return found & known - {module_name(path)}


def test_files_stay_short():
    long = {
        str(path.relative_to(PACKAGE)): count
        for path in MODULES
        if (count := path.read_text().count("\n")) > 400
    }
    assert not long


def test_torchvision_is_never_imported():
    for path in MODULES:
        assert "torchvision" not in path.read_text(), path
