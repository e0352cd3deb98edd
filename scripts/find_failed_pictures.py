"""Find the pictures of every network that failed.

Inputs: the tables of their pictures. Output: a CSV.
"""

from featurediff.rendering.failed_pictures import find_failed
from featurediff.runtime.job import job, log
from featurediff.runtime.tables import read_tables, write_table

with job(snakemake.log[0], snakemake.resources.runtime):
    pictures = read_tables(snakemake.input)
    failed = find_failed(pictures, **snakemake.params.rule)
    write_table(failed, snakemake.output[0])
    log.info("%d of %d pictures failed", len(failed), len(pictures))
