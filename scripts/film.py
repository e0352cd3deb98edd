"""Put the epochs of a film together.

Inputs: a CSV for each epoch, and the pictures behind it. Outputs: one CSV, the plot of change by epoch, and for each
layer a folder with a strip and an animation for each channel.
"""

from pathlib import Path

from featurediff.report.figures import change_over_epochs, save_figure
from featurediff.report.film_strips import write_films
from featurediff.runtime.job import job
from featurediff.runtime.tables import read_tables, write_table

with job(snakemake.log[0], snakemake.resources.runtime):
    params, wanted = snakemake.params, snakemake.output
    table = read_tables(snakemake.input).sort_values(["layer", "channel", "epoch"], ignore_index=True)
    write_table(table, wanted.table)
    save_figure(change_over_epochs(table), wanted.plot)
    for layer, folder in zip(params.layers, wanted.films, strict=True):
        write_films(table[table["layer"] == layer], Path(folder), Path(params.base_pictures), Path(params.store))
