"""List what was reached by each of a network's pictures. Inputs: PNGs that stand for all. Outputs: a CSV a layer, a row
a picture.
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
