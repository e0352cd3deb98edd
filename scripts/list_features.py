"""List what was reached by each of a network's pictures. Inputs: PNGs that stand for all. Outputs: a CSV a layer, a row
a picture.
"""

from pathlib import Path

from transfer.features import feature_table
from transfer.job import job
from transfer.plan import parse_channels, picture_paths
from transfer.tables import write_table

with job(snakemake.log[0], snakemake.resources.runtime):
    for (layer, channels), output in zip(snakemake.params.channels.items(), snakemake.output, strict=True):
        folder = Path(output).with_suffix("")
        pictures = picture_paths(folder, parse_channels(channels, None), range(snakemake.params.seeds))
        write_table(feature_table(pictures, snakemake.wildcards.network, layer), output)
