"""Measure what the channels of two networks do.

Inputs: both networks, the tables of their pictures, the data sets' splits. Outputs: CSVs with one row for each
channel, for each probe image, for each channel and class, for each layer, and for each top image.
"""

from pathlib import Path

from featurediff.measures.channels import measure_channels, show_probe_images, write_photo_responses
from featurediff.networks import load_network
from featurediff.rendering.picture_pairs import listed_pairs
from featurediff.runtime.job import job
from featurediff.runtime.tables import write_table

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params, output = snakemake.input, snakemake.params, snakemake.output
    networks = [load_network(file).module().to(device) for file in (given.base, given.tuned)]
    splits = given.get("splits", [])
    images, responses = show_probe_images(*networks, params.layers, splits, top=params.top_images, **params.probe)
    write_photo_responses(Path(output.images).parent, responses, images)
    pairs = listed_pairs(params.layers, given.base_pictures, given.tuned_pictures)
    first = {layer: pictures.first_seeds for layer, pictures in pairs.items()}
    write_table(measure_channels(*networks, first, responses, params.changes_from), output.channels)
