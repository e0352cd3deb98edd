"""Plot similarity by layer and network, and the training curves. Inputs: CSVs. Outputs: two PNGs."""

from featurediff.report.figures import save_figure, similarity_boxplot, training_curves
from featurediff.runtime.job import job
from featurediff.runtime.tables import read_table

with job(snakemake.log[0], snakemake.resources.runtime):
    tables = [read_table(file) for file in snakemake.input.tables]
    save_figure(similarity_boxplot(tables), snakemake.output.similarity)
    logs = {name: read_table(file) for name, file in zip(snakemake.params.trained, snakemake.input.logs, strict=True)}
    save_figure(training_curves(logs), snakemake.output.training)
