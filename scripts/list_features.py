"""List what was reached by each of a network's pictures. Inputs: PNGs. Outputs: a CSV a layer, a row a picture."""

from pathlib import Path

from feature_vis.png import by_layer
from transfer.bad_channels import feature_table
from transfer.job import job
from transfer.tables import write_table

with job(snakemake.log[0], snakemake.resources.runtime):
    pictures = by_layer(snakemake.input)
    for output in snakemake.output:
        layer = Path(output).stem
        write_table(feature_table(pictures[layer][0], snakemake.wildcards.network, layer), output)
