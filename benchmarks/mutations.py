"""How many small mutations of the library do its tests see? One mutation a module, drawn at random.

    python benchmarks/mutations.py --count 100 --seed 1 --jobs 2

A mutation changes one place of one module: a comparison (`<` to `<=`), an operator (`+` to `-`), a whole number (by
1), `and` to `or`, `not x` to `x`, `True` to `False`. It is *seen* where the module's own tests fail
(`tests/<package>/<folder>/test_<module>.py`), *seen beside* where those of its folder do, and *survived* otherwise.
Long tests and tests of the workflow are not run, so they may see what is called survived here. Works on copies of the
checkout; the checkout itself is not touched.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 900  # seconds; a mutation that makes a test hang is seen

COMPARISONS = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in"}
COMPARISONS |= {ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is"}
OPERATORS = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "/", ast.Mod: "*", ast.Pow: "*"}


@dataclass(frozen=True)
class Mutation:
    """`text` in place of the characters `start` to `end` of a module."""

    module: Path
    start: int
    end: int
    text: str
    line: int
    old: str

    def __str__(self) -> str:
        return f"{self.module.relative_to('lib')}:{self.line}: {self.old} -> {self.text}"


def mutations(module: Path) -> list[Mutation]:
    """Every mutation of a module, given relative to the checkout."""
    source = (ROOT / module).read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    before = [0]
    for line in lines:
        before.append(before[-1] + len(line))
    tree = ast.parse(source)
    passed_over = set(map(id, _texts_without_effect(tree)))

    def place(row: int, column: int) -> int:  # columns count the bytes of UTF-8
        return before[row - 1] + len(lines[row - 1].encode()[:column].decode())

    found = []

    def add(first: ast.expr, text: str, last: ast.expr | None = None) -> None:
        """Replace `first`, or what stands between `first` and `last` where that is given."""
        start, end = place(first.lineno, first.col_offset), place(first.end_lineno or 0, first.end_col_offset or 0)
        if last is not None:
            start, end = end, place(last.lineno, last.col_offset)
            if any(sign in source[start:end] for sign in "()\n#"):  # the operator does not stand there alone
                return
            text = f" {text} "
        found.append(Mutation(module, start, end, text, source[:start].count("\n") + 1, source[start:end]))

    for node in ast.walk(tree):
        if id(node) in passed_over:
            continue
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
                add(left, COMPARISONS[type(op)], right)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                add(left, OPERATORS[type(op)], right)
            case ast.BoolOp(op=op, values=[left, right, *_]):
                add(left, "or" if isinstance(op, ast.And) else "and", right)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                add(node, f"({ast.unparse(operand)})")
            case ast.Constant(value=bool(value)):
                add(node, str(not value))
            case ast.Constant(value=int(value)):
                add(node, str(value + 1))
    return found


def _texts_without_effect(tree: ast.Module) -> list[ast.AST]:
    """Annotations, which nothing runs."""
    notes = [getattr(node, name, None) for node in ast.walk(tree) for name in ("annotation", "returns")]
    return [inner for note in notes if note is not None for inner in ast.walk(note)]


def own_tests(module: Path) -> tuple[Path | None, Path]:
    """A module's test file, where it has one, and the folder of its floor's tests."""
    folder = Path("tests", *module.parts[1:-1])
    file = folder / f"test_{module.stem}.py"
    return (file if (ROOT / file).exists() else None), folder


def fails(checkout: Path, tests: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", str(tests)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode not in (0, 5)


def verdict(mutation: Mutation, checkout: Path) -> str:
    file = checkout / mutation.module
    source = file.read_text(encoding="utf-8")
    file.write_text(source[: mutation.start] + mutation.text + source[mutation.end :], encoding="utf-8")
    own, folder = own_tests(mutation.module)
    try:
        if own is not None and fails(checkout, own):
            return "seen"
        return "seen beside" if (ROOT / folder).is_dir() and fails(checkout, folder) else "survived"
    finally:
        file.write_text(source, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="mutations, each of another module while there are any")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()

    draw = random.Random(given.seed)
    by_module = [found for file in sorted((ROOT / "lib").rglob("*.py")) if (found := mutations(file.relative_to(ROOT)))]
    draw.shuffle(by_module)
    chosen = [draw.choice(by_module[number % len(by_module)]) for number in range(given.count)]
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(given.jobs) as pool:
        copies: Queue[Path] = Queue()
        for number in range(given.jobs):
            for name in (name for name in tracked if (ROOT / name).is_file()):
                target = Path(temporary, str(number), "checkout", name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
            copies.put(Path(temporary, str(number), "checkout"))

        def judge(mutation: Mutation) -> str:
            checkout = copies.get()
            try:
                found = verdict(mutation, checkout)
            finally:
                copies.put(checkout)
            print(f"{found:12} {mutation}", flush=True)
            return found

        verdicts = list(pool.map(judge, chosen))
    print(", ".join(f"{verdicts.count(name)} {name}" for name in ("seen", "seen beside", "survived")))


if __name__ == "__main__":
    main()
