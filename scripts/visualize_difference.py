"""Render what two networks disagree about, as far as it is not current.

Inputs: both networks. Outputs: folders of PNGs, and CSVs with a row a class that was tried, a row a picture, and a row
a class that the pictures name; without rows where the networks' classes cannot be compared.
"""

from pathlib import Path

from feature_vis.networks.structure import call_order
from feature_vis.recipe import Recipe
from featurediff.difference import DifferenceSettings, load_classifier, render_difference
from featurediff.runtime.job import job, log

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params = snakemake.input, snakemake.params
    wanted = params.difference
    base, tuned = load_classifier(given.base), load_classifier(given.tuned)
    settings = DifferenceSettings(
        starts=wanted["starts"], recipe=Recipe.from_settings(wanted["recipe"]), seed=wanted["seed"]
    )
    deepest = max(params.layers, key=call_order(tuned.model).index)
    folder = Path(snakemake.output.starts).parent
    if reason := render_difference(base, tuned, folder, settings, deepest, device):
        log.info("nothing is rendered: %s", reason)
