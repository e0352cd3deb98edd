"""List what was reached by each of a network's pictures. Inputs: PNGs. Outputs: a CSV a layer, a row a picture."""

from pathlib import Path

from feature_vis.png import layer_of
from transfer.features import feature_table
from transfer.job import job
from transfer.tables import write_table

with job(snakemake.log[0]):
    for output in snakemake.output:
        layer = Path(output).stem
        pictures = [picture for picture in snakemake.input if layer_of(picture) == layer]
        write_table(feature_table(pictures, snakemake.wildcards.network, layer), output)
