"""List what was reached by each picture of a layer. Inputs: PNGs. Output: a CSV with one row a channel."""

from feature_vis.files import write_text
from transfer.bad_channels import feature_table
from transfer.job import job

with job(snakemake.log[0]):
    table = feature_table(list(snakemake.input), snakemake.wildcards.network, snakemake.wildcards.layer)
    write_text(snakemake.output[0], table.to_csv(index=False))
