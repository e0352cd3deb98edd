"""Find the pictures that failed, of every network. Inputs: feature tables. Output: one CSV."""

import pandas as pd

from feature_vis.files import write_text
from transfer.bad_channels import find_bad
from transfer.job import job, log

with job(snakemake.log[0]):
    features = pd.concat([pd.read_csv(file, dtype={"model": str, "layer": str}) for file in snakemake.input])
    bad = find_bad(features, **snakemake.params.rule)
    write_text(snakemake.output[0], bad.to_csv(index=False))
    log.info("%d of %d pictures failed", len(bad), len(features))
