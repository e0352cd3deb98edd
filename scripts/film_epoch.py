"""Render and measure the channels of a film at one epoch.

Inputs: the ranking, the failed pictures, the base and its pictures, the epoch's checkpoint, the data sets' splits, the
embedder. Output: a CSV with one row for each channel.
"""

from pathlib import Path

from featurediff.comparison.epochs import film_channels, film_pairs, measure_epoch, render_epoch
from featurediff.measures.channels import show_probe_images
from featurediff.measures.embedder import load_embedder
from featurediff.networks import load_network, network_of_checkpoint
from featurediff.runtime.job import job
from featurediff.runtime.tables import read_table, write_table

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params, film, network = snakemake.input, snakemake.params, snakemake.params.film, snakemake.wildcards.tuned
    of_base, of_tuned, store = (Path(params[name]) for name in ("base_pictures", "tuned_pictures", "store"))
    base = load_network(given.base).module().to(device)
    tuned = network_of_checkpoint(given.checkpoint, film["architecture"]).module().to(device)
    ranking = read_table(given.ranking)
    channels = film_channels(ranking, film["channels"])
    render_epoch(tuned, channels, film["recipes"], film["seeds"], store, (of_base, of_tuned), device)
    failed, names = read_table(given.failed), (params.base, network)
    pictures = film_pairs(channels, film["seeds"], of_base, store, failed, names, params.failed_rule)
    _, responses = show_probe_images(base, tuned, channels, given.get("splits", []), patches=False, **params.probe)
    embedder = load_embedder(params.embedder, given.get("embedder"), device)
    options = {"network": network, "epoch": int(snakemake.wildcards.epoch), "train_from": params.changes_from}
    table = measure_epoch(base, tuned, pictures, ranking, embedder, responses, **options)
    write_table(table, snakemake.output[0])
