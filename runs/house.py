"""How the code is built: packages, the imports between them, circles, long files and functions, many arguments.

`python runs/house.py [SRC]` prints one table; `--check` exits with 1 where a limit is passed that `EXCEPTIONS` does
not raise.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

FILE_LINES, FUNCTION_LINES, ARGUMENTS, ROOT_MODULES = 250, 40, 8, 5
PACKAGE = "magicpose"

LONG_FILES: dict[str, tuple[int, str]] = {  # file -> (its lines, why)
    "video_out.py": (270, "to be split by kind of output: containers, animations, folders of pictures"),
}
# file.function -> (its lines, its arguments, why)
EXCEPTIONS: dict[str, tuple[int, int, str]] = {
    "parts.__init__": (42, 14, "diffusers: a pipeline takes and registers every part and setting by name"),
    "pipeline.__call__": (46, 18, "diffusers: all choices of one run are arguments of the call"),
    "loop.sample": (FUNCTION_LINES, 9, "the public call: five inputs, three choices of the paper, and options"),
    "loop.sample_groups": (FUNCTION_LINES, 9, "the same inputs as `sample`"),
}


def functions(tree: ast.AST) -> list[tuple[str, int, int]]:
    """(name, lines without its docstring, arguments without self) of every function."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        documented = ast.get_docstring(node) is not None
        docstring = (node.body[0].end_lineno or 0) - node.body[0].lineno + 1 if documented else 0
        lines = (node.end_lineno or 0) - node.lineno + 1 - docstring
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        found.append((node.name, lines, len([name for name in names if name not in ("self", "cls")])))
    return found


def imported(tree: ast.Module, modules: set[str], lazily: bool) -> set[str]:
    """Modules that `tree` imports when it is loaded; with `lazily`, inside functions and for types as well."""
    nodes = ast.walk(tree) if lazily else iter(tree.body)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= inside & modules or {node.module}
    return names & modules


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Modules from which a chain of imports leads back to themselves."""

    def reached(start: str) -> set[str]:
        seen, waiting = set[str](), [start]
        while waiting:
            for other in graph[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        return seen

    return sorted(module for module in graph if module in reached(module))


def limits(function: str) -> tuple[int, int]:
    """Lines and arguments that a function `file.name` may have."""
    return EXCEPTIONS[function][:2] if function in EXCEPTIONS else (FUNCTION_LINES, ARGUMENTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", type=Path, default=Path("src"))
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    files = sorted((arguments.source / PACKAGE).rglob("*.py"))
    texts = {file: file.read_text() for file in files}
    lengths = [(file.name, text.count("\n")) for file, text in texts.items()]
    long_files = [f"{name} {n}" for name, n in lengths if n > LONG_FILES.get(name, (FILE_LINES, ""))[0]]
    all_functions = [(file, *f) for file, text in texts.items() for f in functions(ast.parse(text))]
    measured = [(f"{file.stem}.{name}", lines, arguments) for file, name, lines, arguments in all_functions]
    long_functions = [f"{name} {lines}" for name, lines, _ in measured if lines > limits(name)[0]]
    wide = [f"{name} {arguments}" for name, _, arguments in measured if arguments > limits(name)[1]]
    root = [file.stem for file in (arguments.source / PACKAGE).glob("*.py") if file.stem != "__init__"]
    trees = {".".join(f.relative_to(arguments.source).with_suffix("").parts): ast.parse(t) for f, t in texts.items()}
    packages = {name.removesuffix(".__init__") for name in trees if name.endswith(".__init__")}
    trees = {name.removesuffix(".__init__"): tree for name, tree in trees.items()}
    at_load, at_all = (
        circles({name: imported(tree, set(trees), lazily) for name, tree in trees.items()}) for lazily in (False, True)
    )
    homes = {name: name if name in packages else name.rpartition(".")[0] for name in trees}
    arrows = {
        (homes[name], homes[other]) for name, tree in trees.items() for other in imported(tree, set(trees), lazily=True)
    }
    arrows = {(a, b) for a, b in arrows if a != b}
    print(f"packages {len(packages)}, arrows between them {len(arrows)}, files {len(files)}")
    print(f"modules on a circle: {len(at_load)} when loaded, {len(at_all)} with imports inside functions")
    for what, limit, names in (
        ("files over", FILE_LINES, long_files),
        ("functions over", FUNCTION_LINES, long_functions),
        ("arguments over", ARGUMENTS, wide),
    ):
        print(f"{what} {limit}: {len(names)}  {', '.join(names)}")
    print(f"modules at the root: {len(root)}  {', '.join(sorted(root))}")
    for name, (lines, reason) in LONG_FILES.items():
        print(f"allowed: {name}, {lines} lines: {reason}")
    for name, (lines, count, reason) in EXCEPTIONS.items():
        print(f"allowed: {name}, {lines} lines, {count} arguments: {reason}")
    if arguments.check and (at_load or long_files or long_functions or wide or len(root) > ROOT_MODULES):
        sys.exit(1)


if __name__ == "__main__":
    main()
