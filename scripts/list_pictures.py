"""List a network's pictures and what each one reached.

Inputs: PNGs that stand for all others. Outputs: for each layer a CSV with one row for each picture.
"""

from pathlib import Path

from featurediff.rendering.channels import parse_channels
from featurediff.rendering.paths import picture_paths
from featurediff.rendering.picture_table import measure_pictures
from featurediff.runtime.job import job
from featurediff.runtime.tables import write_table

with job(snakemake.log[0], snakemake.resources.runtime):
    for (layer, channels), output in zip(snakemake.params.channels.items(), snakemake.output, strict=True):
        folder = Path(output).with_suffix("")
        pictures = picture_paths(folder, parse_channels(channels, None), range(snakemake.params.seeds))
        write_table(measure_pictures(pictures, snakemake.wildcards.network, layer), output)
