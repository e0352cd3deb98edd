"""Compare two runs of a fine-tuning. Inputs: the rankings of both, both networks and their pictures, the bad channels,
the data sets' splits, the embedder. Outputs: a CSV with a row a layer and measure, and what its columns mean.
"""

from pathlib import Path

from feature_vis.files import write_text
from transfer.compare import bad_pictures, compare_networks, describe_columns, load_embedder
from transfer.control import COLUMNS, compare_runs
from transfer.functional_change import probe_images
from transfer.job import job
from transfer.network import load_network
from transfer.plan import picture_paths
from transfer.probing import probe
from transfer.tables import read_table, write_table

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params = snakemake.input, snakemake.params
    model, control = params.runs
    networks = [load_network(file).module().to(device) for file in given.networks]
    pictures = {
        layer: tuple(picture_paths(Path(folder) / layer, channels, params.seeds) for folder in params.features)
        for layer, channels in params.channels.items()
    }
    bad = {layer: bad_pictures(given.bad, layer, [model, control]) for layer in pictures}
    splits = dict(zip(params.probe["roots"], given.get("splits", []), strict=True))
    images, batches = probe_images(splits, params.probe["roots"], params.probe["size"], params.probe["resize"])
    probing = probe(*networks, list(pictures), batches, fields={}) if len(images) else None
    embedder = load_embedder(params.embedder, given.get("embedder"), device)
    between = compare_networks(*networks, pictures, bad, embedder, probing, model=control, train_from=None)
    rankings = [read_table(file) for file in (given.ranking, given.ranking_control)]
    table = compare_runs(*rankings, between, model=model, control=control, seed=params.seed)
    write_table(table, snakemake.output.table)
    write_text(snakemake.output.columns, describe_columns(COLUMNS))
