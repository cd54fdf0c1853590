"""The layer rule, the size limits and "only the command line prints", read off the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "skelaug"
FILES = sorted(ROOT.rglob("*.py"))

# A module imports only from a lower layer, from its own folder, or, in a layer that is an ordered
# list, from a module named before it. Folders of a set do not know one another.
LAYERS: tuple[tuple[str, ...] | frozenset[str], ...] = (
    ("errors", "shapes", "seeds", "files", "progress"),
    frozenset({"skeleton", "diffusion"}),
    frozenset(
        {
            "data",
            "image",
            "metrics",
            "augment",
            "models",
            "imputation",
            "refinement",
            "text",
            "zeroshot",
            "zoo",
            "plots",
        }
    ),
    ("config", "checkpoint", "place", "optimisation", "learner", "training"),
    ("workflows",),
    ("benchmark",),
    ("cli",),
    ("__main__",),
)
OUTSIDE = {  # what a folder may import from outside the package, where that is part of the design
    "skeleton": {"numpy", "yaml", "scipy"},
    "diffusion": {"torch"},
}
KNOWS_NO_OTHER = {"diffusion": {"errors", "shapes", "seeds"}}

FILE_LINES, BODY_LINES = 400, 60
LONGER_FILES: dict[str, tuple[int, str]] = {}
LONGER_FUNCTIONS: dict[str, tuple[int, str]] = {}


def part_of(path: Path) -> str:
    """The folder below skelaug, or the name of a module that lies directly in it."""
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def rank(part: str) -> tuple[int, int | None]:
    """The layer of a part and, in an ordered layer, its place."""
    for number, layer in enumerate(LAYERS):
        if part in layer:
            return number, layer.index(part) if isinstance(layer, tuple) else None
    raise AssertionError(f"skelaug/{part} is in no layer; give it a place in tests/test_layers.py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function; not for types alone."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            found.add(node.module or "")
            if node.module == "skelaug":
                found |= {f"skelaug.{alias.name}" for alias in node.names}
            elif (node.module or "").startswith("skelaug."):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {name for name in names if module_file(name)}
    return found


def module_file(name: str) -> Path | None:
    """The file of a module of the package, or None where the name is no module."""
    base = ROOT.parent.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def parts_imported(path: Path) -> set[str]:
    own = {name.split(".")[1] for name in imports(path) if name.startswith("skelaug.")}
    return {part for part in own if not part.startswith("__version")}


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [p for p in FILES if p != ROOT / "__init__.py"], ids=ids)
def test_imports_point_downwards(path: Path) -> None:
    here = part_of(path)
    layer, place = rank(here)
    for there in parts_imported(path) - {here}:
        other_layer, other_place = rank(there)
        below = other_layer < layer
        before = (
            other_layer == layer
            and place is not None
            and other_place is not None
            and other_place < place
        )
        assert below or before, f"{here} (layer {layer}) imports {there} (layer {other_layer})"


def test_the_package_itself_imports_nothing() -> None:
    assert imports(ROOT / "__init__.py") == set()


@pytest.mark.parametrize("part", OUTSIDE)
def test_the_mathematics_knows_only_what_it_is_made_of(part: str) -> None:
    import sys

    for path in sorted((ROOT / part).rglob("*.py")):
        roots = {name.split(".")[0] for name in imports(path)}
        extra = roots - set(sys.stdlib_module_names) - {"skelaug", *OUTSIDE[part]}
        assert not extra, f"{ids(path)} imports {extra}"
        if part in KNOWS_NO_OTHER:
            assert parts_imported(path) <= {part, *KNOWS_NO_OTHER[part]}, ids(path)


def test_no_two_modules_import_each_other() -> None:
    graph = {
        path: {module_file(name) for name in imports(path) if name.startswith("skelaug")} - {None}
        for path in FILES
    }
    done: set[Path] = set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " -> ".join(ids(p) for p in (*trail, path))
        if path not in done:
            for other in graph[path] - {path, ROOT / "__init__.py"}:
                visit(other, (*trail, path))
            done.add(path)

    for path in FILES:
        visit(path, ())


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    limit, _ = LONGER_FILES.get(ids(path), (FILE_LINES, ""))
    assert len(text.splitlines()) <= limit, "split the file, or argue in LONGER_FILES"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            limit, _ = LONGER_FUNCTIONS.get(f"{ids(path)}:{node.name}", (BODY_LINES, ""))
            assert lines <= limit, f"{node.name}: a body of {lines} lines"


def test_the_exceptions_are_still_needed_and_argued() -> None:
    for name, (_, reason) in LONGER_FILES.items():
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) > FILE_LINES, name
        assert reason, name
    for name, (_, reason) in LONGER_FUNCTIONS.items():
        assert (ROOT / name.split(":")[0]).is_file(), name
        assert reason, name


@pytest.mark.parametrize("path", [p for p in FILES if part_of(p) != "cli"], ids=ids)
def test_only_the_command_line_prints(path: Path) -> None:
    assert "rich" not in {name.split(".")[0] for name in imports(path)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "input", "breakpoint"}, f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            spoken = node.value.id == "sys" and node.attr in {"stdout", "stderr", "exit"}
            assert not spoken, f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_drawer_for_odds_and_ends(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "base", "misc"}
