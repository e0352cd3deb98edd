"""What no code of the project may do: run what stands in a file."""

import ast
import json
from collections.abc import Iterator

import pytest
from places import REPOSITORY

FOLDERS = ("lib", "scripts", "benchmarks", "notebooks", "rules")

# They run code that stands in what they read, or in their argument.
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"eval", "exec", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle", "torch.hub.load"}
UNSAFE_CALLS |= {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}
UNSAFE_CALLS |= {"subprocess.getoutput", "subprocess.getstatusoutput"}


def faults_of(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in UNSAFE_MODULES:
            yield f"from {node.module} import"
        if isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            unsafe = name in UNSAFE_CALLS or name.partition(".")[0] in UNSAFE_MODULES
            if unsafe or given.get("shell", "False") != "False":
                yield name
            if name == "torch.load" and given.get("weights_only") != "True":
                yield "torch.load without weights_only=True"
            if given.get("allow_pickle", "False") != "False":
                yield f"{name} with allow_pickle"


def sources() -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for file in sorted((REPOSITORY / folder).rglob("*")):
            name = str(file.relative_to(REPOSITORY))
            if file.suffix == ".py":
                yield name, file.read_text(encoding="utf-8")
            if file.suffix == ".ipynb":
                cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
                lines = [line for cell in cells if cell["cell_type"] == "code" for line in [*cell["source"], "\n"]]
                yield name, "".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def test_no_code_that_stands_in_a_file_is_run() -> None:
    found = {name: list(faults_of(source)) for name, source in sources()}
    assert len(found) > 80
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("torch.load(f, weights_only=True); np.load(f); model.eval(); run(a, shell=False)", []),
        ("torch.load(file)", ["torch.load without weights_only=True"]),
        ("torch.load(file, weights_only=False)", ["torch.load without weights_only=True"]),
        ("torch.load(file, weights_only=trusted)", ["torch.load without weights_only=True"]),
        ("pickle.loads(data)", ["pickle.loads"]),
        ("from pickle import loads", ["from pickle import"]),
        ("np.load(file, allow_pickle=True)", ["np.load with allow_pickle"]),
        ("subprocess.run(text, shell=True)", ["subprocess.run"]),
        ("yaml.load(text)", ["yaml.load"]),
        ("eval(text)", ["eval"]),
    ],
)
def test_each_fault_would_be_seen_and_what_is_safe_is_let_alone(source: str, faults: list[str]) -> None:
    assert list(faults_of(source)) == faults


def test_no_rule_goes_through_a_shell() -> None:
    """Names from data would have to be quoted there, `{input:q}`; scripts are given them as they are."""
    for file in [REPOSITORY / "Snakefile", *sorted((REPOSITORY / "rules").glob("*.smk"))]:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        assert not [line for line in lines if line.startswith(("shell:", "shell(", "run:"))], file
