"""Render and measure the channels of a film at one epoch. Inputs: the ranking, the bad channels, the base and its
pictures, the epoch's checkpoint, the data sets' splits, the embedder. Output: a CSV with a row a channel.
"""

from pathlib import Path

from featurediff.comparison.epochs import choose_channels, find_failed_by_layer, have_pictures, measure_epoch
from featurediff.measures.channels import probe_images
from featurediff.measures.embedder import load_embedder
from featurediff.measures.photo_responses import photo_responses
from featurediff.networks import load_network, network_of_checkpoint
from featurediff.rendering.failed_pictures import read_failed
from featurediff.rendering.paths import picture_paths
from featurediff.runtime.job import job
from featurediff.runtime.tables import read_table, write_table

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params, film = snakemake.input, snakemake.params, snakemake.params.film
    shown = params.probe
    network, epoch, seeds = snakemake.wildcards.tuned, int(snakemake.wildcards.epoch), film["seeds"]
    base_pictures, tuned_pictures, store = (Path(params[name]) for name in ("base_pictures", "tuned_pictures", "store"))
    base = load_network(given.base).module().to(device)
    tuned = network_of_checkpoint(given.checkpoint, film["architecture"]).module().to(device)

    ranking = read_table(given.ranking)
    channels = choose_channels(ranking, film["channels"])
    have_pictures(tuned, channels, film["recipes"], seeds, store, (base_pictures, tuned_pictures), device)
    sides = [
        {layer: picture_paths(folder / layer, sorted(chosen), seeds) for layer, chosen in channels.items()}
        for folder in (base_pictures, store)
    ]
    failed_tuned = find_failed_by_layer(sides[1], network, params.failed_rule)
    bad = {layer: (read_failed(given.failed, layer, [params.base])[0], failed_tuned[layer]) for layer in channels}

    splits = dict(zip(shown["roots"], given.get("splits", []), strict=True))
    images, batches = probe_images(splits, shown["roots"], shown["size"], shown["resize"])
    responses = photo_responses(base, tuned, list(channels), batches, patches=False) if len(images) else None
    table = measure_epoch(
        base,
        tuned,
        {layer: (sides[0][layer], sides[1][layer]) for layer in channels},
        bad,
        ranking,
        load_embedder(params.embedder, given.get("embedder"), device),
        responses,
        network=network,
        epoch=epoch,
        train_from=params.changes_from,
    )
    write_table(table, snakemake.output[0])
