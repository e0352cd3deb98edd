"""Which channels of a network changed beyond chance. Inputs: its layers' tables.

Outputs: a ranking of all its channels, a summary by layer, and what the columns of both and of the tables mean.
"""

import pandas as pd

from feature_vis.files import write_text
from transfer.compare import describe_columns, rank_layers
from transfer.job import job

with job(snakemake.log[0]):
    ranking, summary = rank_layers([pd.read_csv(path) for path in snakemake.input])
    write_text(snakemake.output.ranking, ranking.to_csv(index=False))
    write_text(snakemake.output.summary, summary.to_csv(index=False))
    write_text(snakemake.output.columns, describe_columns())
