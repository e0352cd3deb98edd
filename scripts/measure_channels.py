"""Compare what the channels of two networks do. Inputs: both networks, the tables of their pictures, the
data sets' splits.

Outputs: a CSV with a row a channel; the probe images, selectivity by class, CKA by layer and top images as CSVs.
"""

from pathlib import Path

from featurediff.measures.channels import measure_channels, probe_images, write_photo_responses
from featurediff.measures.photo_responses import photo_responses
from featurediff.networks import load_network
from featurediff.rendering.picture_table import first_seed, listed_pictures
from featurediff.runtime.job import job
from featurediff.runtime.tables import write_table

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params, shown = snakemake.input, snakemake.params, snakemake.params.probe
    base, tuned = (load_network(file).module().to(device) for file in (given.base, given.tuned))
    splits = dict(zip(shown["roots"], given.get("splits", []), strict=True))
    images, batches = probe_images(splits, shown["roots"], shown["size"], shown["resize"])
    tables = zip(given.base_pictures, given.tuned_pictures, strict=True)
    pairs = [tuple(first_seed(listed_pictures(table)) for table in pair) for pair in tables]
    layers = dict(zip(params.layers, pairs, strict=True))
    responses = photo_responses(base, tuned, list(layers), batches, top=params.top_images) if len(images) else None
    write_photo_responses(Path(snakemake.output.images).parent, responses, images)
    table = measure_channels(base, tuned, layers, responses, params.changes_from)
    write_table(table, snakemake.output.channels)
