"""The plan that the rules ask, and helpers that name files."""

import os
import re
import sys

from snakemake.exceptions import WorkflowError

# The checkout's lib, before an installed copy of it; a rule's conda environment sees it through sys.path.
LIB = os.path.join(workflow.basedir, "lib")
sys.path.insert(0, LIB)
# How long OpenMP's threads spin before they sleep. With its own value, 300 times as much, two threads on two cores that
# somebody else uses as well took 10 times their time (benchmarks/NOTES.md).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [LIB, os.getenv("PYTHONPATH")])))

from feature_vis.errors import InputError
from feature_vis.recipe import RECIPE_VERSION
from transfer.config_check import check_config
from transfer.config_file import read_config
from transfer.machine import check_writable
from transfer.plan import Plan, code_digest, picture_paths
from transfer.settings import TRAINING_VERSION

try:
    files = [read_config(os.path.relpath(file)) for file in workflow.configfiles]
    check_config(config, os.path.join(workflow.basedir, "config", "schema.yaml"), files)
    plan = Plan(config)
except InputError as error:
    raise WorkflowError(str(error)) from None

RESULTS = str(plan.results)
CODE = code_digest(LIB)  # a parameter of every rule that measures or shows
PAIR_KINDS = ["most_different", "most_similar"]


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
    dataset=one_of(config.get("data", {})),


def get_start_weights(network):
    """The network whose weights another starts from: its digest is tracked, the large file is not."""
    start = plan.starts_from(network)
    if start is None:
        return {}
    return {
        "start_digest": f"{RESULTS}/{start}/network.sha256",
        "start": ancient(f"{RESULTS}/{start}/network.pth"),
    }


def get_training_split(network):
    return f"{RESULTS}/data/{config['networks'][network]['data']}/split.csv"


def name_pictures(channels, seeds=plan.seeds, network="{network}", layer="{layer}"):
    """The pictures of these channels, of the first seed in the layer's folder, of further ones in `seed<s>` below."""
    return picture_paths(f"{RESULTS}/{network}/features/{layer}", channels, seeds)


def get_first_pictures(network):
    """One picture a channel, that of the first seed: layer after layer."""
    return [p for layer in plan.layers for p in name_pictures(plan.channels[layer], plan.seeds[:1], network, layer)]


def get_network_pictures(network):
    """Every picture of one network: layer after layer, seed after seed."""
    return [p for layer in plan.layers for p in name_pictures(plan.channels[layer], plan.seeds, network, layer)]


def get_pictures():
    """Every picture: named by `all`, because a missing one is noticed only where a target asks for it."""
    return [picture for network in plan.networks for picture in get_network_pictures(network)]


def get_feature_tables():
    return expand(f"{RESULTS}/{{network}}/features/{{layer}}.csv", network=plan.networks, layer=plan.layers)


def get_final_tables():
    return [
        f"{RESULTS}/bad_channels.csv",
        *expand(f"{RESULTS}/compare/{{tuned}}/{{layer}}.csv", tuned=plan.tuned, layer=plan.layers),
        *expand(f"{RESULTS}/compare/{{tuned}}/{{table}}.csv", tuned=plan.tuned, table=["ranking", "summary"]),
    ]


def get_command():
    """How the workflow was started, as far as it decides what is made: for the page's lines to rerun something."""
    files = [os.path.relpath(file) for file in workflow.overwrite_configfiles]
    given = f" --configfile {' '.join(files)}" if files else ""
    if RESULTS != "results":
        given += f" --config results={RESULTS}"
    return f"snakemake --cores 8{given}"


def get_report_links():
    """Title -> path from the page, of what is drawn for looking at it elsewhere."""
    sheets = {
        f"All pictures of {network}, {layer}": f"../plots/contact_sheets/{network}/{layer}.png"
        for network in plan.networks
        for layer in plan.layers
    }
    return {"Similarity by layer": "../plots/similarity.png", "Training": "../plots/training.png", **sheets}


def get_films():
    return [
        *expand(f"{RESULTS}/{{network}}/film/change.csv", network=plan.filmed),
        *expand(f"{RESULTS}/{{network}}/film/{{layer}}", network=plan.filmed, layer=plan.film_channels),
        *[epoch for network in plan.filmed for epoch in get_film_epochs(network)],
    ]


def get_film_epochs(network):
    return [f"{RESULTS}/{network}/film/epoch{epoch}.csv" for epoch in plan.film_epochs(network)]


def get_controls():
    return expand(f"{RESULTS}/compare/{{control}}/control.csv", control=plan.controls)


def get_runs(control):
    """A network, and the control that is another run of it."""
    return [plan.controls[control], control]


def check_results():
    """Say before the first job that nothing can be written; a dry run and `--report` may do without."""
    try:
        check_writable(RESULTS)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def get_bad_rule():
    return {"jump": 0.1, "max_contrast": 12.0} | config.get("bad_channels", {})


def get_report():
    return f"{RESULTS}/report/index.html"


def get_embedder():
    """The network that embeds pictures, where it is one of the config's; another is loaded by its name or path."""
    network = plan.embedder.get("network")
    if network is None:
        return {}
    return {
        "embedder_digest": f"{RESULTS}/{network}/network.sha256",
        "embedder": ancient(f"{RESULTS}/{network}/network.pth"),
    }
