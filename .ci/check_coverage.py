"""Compare what the tests didn't cover with .ci/uncovered.txt, which names it and says why.

usage: python .ci/check_coverage.py COVERAGE.json

Coverage is of lines and branches. A function with uncovered ones that the list doesn't name fails
the check, and so does a name that isn't there any more. Prints nothing where all is well.
"""

import ast
import json
import sys
from pathlib import Path

SOURCE = "pycrumbs.py"


def read_reasons(text):
    """Return the names in `text` with their reasons; a line without a reason is an error."""
    reasons = {}
    for line in text.splitlines():
        name, _, reason = (part.strip() for part in line.partition("#"))
        if name and not reason:
            raise SystemExit(f"uncovered.txt: no reason given for {name}")
        if name:
            reasons[name] = reason
    return reasons


def find_functions(source):
    """Return the qualified name of each function, and the lines that are its own."""
    functions = {}

    def visit(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = f"{prefix}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    functions[name] = range(child.lineno, child.end_lineno + 1)
                visit(child, f"{name}.")
            else:
                visit(child, prefix)

    visit(ast.parse(source), "")
    return functions


def find_uncovered(report, functions):
    """Return the lines that weren't executed, or not left in every way, by function."""
    file = next(data for path, data in report["files"].items() if path.endswith(SOURCE))
    lines = {*file["missing_lines"], *(start for start, _ in file["missing_branches"])}
    uncovered = {}
    for line in sorted(lines):
        inside = [name for name, own in functions.items() if line in own]
        name = min(inside, key=lambda name: len(functions[name])) if inside else "<module>"
        uncovered.setdefault(name, []).append(line)
    return uncovered


def main(path):
    """Compare, complain, and return the exit status."""
    reasons = read_reasons(Path(__file__).with_name("uncovered.txt").read_text("utf-8"))
    functions = find_functions(Path(SOURCE).read_text("utf-8"))
    uncovered = find_uncovered(json.loads(Path(path).read_text("utf-8")), functions)
    problems = [
        f"{SOURCE}:{lines[0]}: {name} isn't covered (lines {', '.join(map(str, lines))}); "
        "test it, or say in .ci/uncovered.txt why not"
        for name, lines in uncovered.items()
        if name not in reasons
    ]
    problems += [
        f"uncovered.txt names {name}, which isn't in {SOURCE}"
        for name in reasons
        if name not in functions and name != "<module>"
    ]
    print(*problems, sep="\n", end="\n" * bool(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
