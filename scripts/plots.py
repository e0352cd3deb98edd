"""Plot similarity by layer and network, and the training curves. Inputs: CSVs. Outputs: two PNGs."""

import pandas as pd

from transfer.job import job
from transfer.plots import save_figure, similarity_boxplot, training_curves

with job(snakemake.log[0]):
    tables = [pd.read_csv(file, dtype={"model": str, "layer": str}) for file in snakemake.input.tables]
    save_figure(similarity_boxplot(tables), snakemake.output.similarity)
    logs = {name: pd.read_csv(file) for name, file in zip(snakemake.params.trained, snakemake.input.logs, strict=True)}
    save_figure(training_curves(logs), snakemake.output.training)
