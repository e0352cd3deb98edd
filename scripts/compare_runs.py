"""Compare two runs of a fine-tuning.

Inputs: the rankings of both, both networks, the tables of their pictures, the failed pictures, the data sets' splits,
the embedder. Outputs: a CSV with one row for each layer and measure, and what its columns mean.
"""

from feature_vis.files import write_text
from featurediff.comparison.compare import compare_networks, describe_columns
from featurediff.measures.channels import show_probe_images
from featurediff.measures.embedder import load_embedder
from featurediff.networks import load_network
from featurediff.rendering.picture_pairs import listed_pairs
from featurediff.runtime.job import job
from featurediff.runtime.tables import read_table, write_table
from featurediff.statistics.control_runs import COLUMNS, compare_runs

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params = snakemake.input, snakemake.params
    network, control = params.runs
    networks = [load_network(file).module().to(device) for file in given.networks]
    tables = (given.network_pictures, given.control_pictures)
    pictures = listed_pairs(params.layers, *tables, read_table(given.failed), (network, control))
    splits = given.get("splits", [])
    _, responses = show_probe_images(*networks, params.layers, splits, patches=False, **params.probe)
    embedder = load_embedder(params.embedder, given.get("embedder"), device)
    between = compare_networks(*networks, pictures, embedder, responses, network=control, train_from=None)
    rankings = [read_table(file) for file in (given.ranking, given.ranking_control)]
    table = compare_runs(*rankings, between, network=network, control=control, seed=params.seed)
    write_table(table, snakemake.output.table)
    write_text(snakemake.output.columns, describe_columns(COLUMNS))
