"""The plan that the rules ask, and what they all share."""

import os
import re
import sys
from importlib.util import find_spec

from snakemake.exceptions import WorkflowError

# The folder of the Snakefile that these rules belong to, also where another workflow uses it as a module.
HERE = os.path.dirname(workflow.current_basedir.get_path_or_uri(secret_free=True))
# In a checkout its own lib comes before an installed copy, and a rule's conda environment finds it by PYTHONPATH. Beside
# an installed workflow lies the library itself, at the place where a job finds snakemake.
LIB = os.path.join(HERE, "lib")
if os.path.isdir(LIB):
    sys.path.insert(0, LIB)
    os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [LIB, os.getenv("PYTHONPATH")])))
# How long OpenMP's threads spin before they sleep. With its own value, 300 times as much, two threads on two cores that
# somebody else uses as well took 10 times their time (benchmarks/NOTES.md).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
if find_spec("featurediff") is None:
    raise WorkflowError("The library featurediff is not installed beside snakemake: install it in these rules' version")

from feature_vis.errors import InputError
from feature_vis.images.png import refuse_cut_off
from feature_vis.recipe import RECIPE_VERSION
from featurediff.config import make_plan, read_config
from featurediff.runtime.code_digest import code_digest
from featurediff.runtime.os_errors import check_times, check_writable
from featurediff.rendering.channels import ranges_text
from featurediff.rendering.paths import picture_paths
from featurediff.training.settings import TRAINING_VERSION

try:
    files = [read_config(os.path.relpath(file)) for file in workflow.configfiles]
    files = [file for file in files if "networks" in file.config]  # not those of a workflow that uses this one
    schema = workflow.source_path("../config/schema.yaml")
    plan = make_plan(config, schema, files, first=workflow.is_main_process)
    config |= plan.config
    if workflow.is_main_process:  # what a job reads, it looks at itself
        refuse_cut_off(plan.pictures())
except InputError as error:
    raise WorkflowError(str(error)) from None

RESULTS = str(plan.results)
CODE = code_digest()  # a parameter of every rule that measures or shows


def one_of(names):
    """A wildcard's constraint: exactly one of these names, or nothing at all."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def scaled(amount):
    """So much at the first attempt, twice as much at the second: what ran out of memory or time may then pass."""
    return lambda wildcards, attempt: amount * attempt


wildcard_constraints:
    network=one_of(plan.networks),
    tuned=one_of(plan.tuned),
    layer=one_of(plan.layers),
    dataset=one_of(config["data"]),


def check_results():
    """Say before the first job what would make every job fail; a dry run and `--report` may do without."""
    try:
        check_writable(RESULTS)
        check_times(RESULTS)
    except InputError as error:
        raise WorkflowError(str(error)) from None
