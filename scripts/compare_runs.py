"""Compare two runs of a fine-tuning. Inputs: the rankings of both, both networks, the tables of their pictures, the bad
channels, the data sets' splits, the embedder. Outputs: a CSV with a row a layer and measure, and what its columns mean.
"""

from feature_vis.files import write_text
from featurediff.comparison.compare import compare_networks, describe_columns
from featurediff.measures.channels import probe_images
from featurediff.measures.embedder import load_embedder
from featurediff.measures.photo_responses import photo_responses
from featurediff.networks import load_network
from featurediff.rendering.failed_pictures import read_failed
from featurediff.rendering.picture_table import listed_pictures
from featurediff.runtime.job import job
from featurediff.runtime.tables import read_table, write_table
from featurediff.statistics.control_runs import COLUMNS, compare_runs

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params = snakemake.input, snakemake.params
    network, control = params.runs
    networks = [load_network(file).module().to(device) for file in given.networks]
    tables = zip(given.network_pictures, given.control_pictures, strict=True)
    pairs = [tuple(listed_pictures(table) for table in pair) for pair in tables]
    pictures = dict(zip(params.layers, pairs, strict=True))
    bad = {layer: read_failed(given.failed, layer, [network, control]) for layer in pictures}
    splits = dict(zip(params.probe["roots"], given.get("splits", []), strict=True))
    images, batches = probe_images(splits, params.probe["roots"], params.probe["size"], params.probe["resize"])
    responses = photo_responses(*networks, list(pictures), batches, patches=False) if len(images) else None
    embedder = load_embedder(params.embedder, given.get("embedder"), device)
    between = compare_networks(*networks, pictures, bad, embedder, responses, network=control, train_from=None)
    rankings = [read_table(file) for file in (given.ranking, given.ranking_control)]
    table = compare_runs(*rankings, between, network=network, control=control, seed=params.seed)
    write_table(table, snakemake.output.table)
    write_text(snakemake.output.columns, describe_columns(COLUMNS))
