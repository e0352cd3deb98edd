"""Render the pictures of a batch of channels that are not current.

Inputs: the network, its digest up to the layer. Outputs: PNGs.
"""

from pathlib import Path

from featurediff.networks import read_digest
from featurediff.rendering.batch import make_targets, other_networks, visualize
from featurediff.runtime.job import job

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    layer = snakemake.wildcards.layer
    digest = read_digest(snakemake.input.digest)
    targets = make_targets(list(snakemake.output), layer, snakemake.params.recipes, digest)
    staging = Path(snakemake.params.staging)
    elsewhere = other_networks(staging.parents[1], layer)
    visualize(targets, layer, snakemake.input.network, staging, device, elsewhere)
