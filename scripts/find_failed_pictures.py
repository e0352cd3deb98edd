"""Find the pictures that failed, of every network. Inputs: the tables of their pictures. Output: one CSV."""

import pandas as pd

from featurediff.rendering.failed_pictures import find_failed
from featurediff.runtime.job import job, log
from featurediff.runtime.tables import read_table, write_table

with job(snakemake.log[0], snakemake.resources.runtime):
    pictures = pd.concat([read_table(file) for file in snakemake.input])
    bad = find_failed(pictures, **snakemake.params.rule)
    write_table(bad, snakemake.output[0])
    log.info("%d of %d pictures failed", len(bad), len(pictures))
