"""List the photographs of a data set and split them.

Outputs: split.csv (one row for each photograph), skipped.csv (path and reason).
"""

from featurediff.data.split import make_split, write_split
from featurediff.runtime.job import job, log
from featurediff.runtime.tables import write_table

with job(snakemake.log[0], snakemake.resources.runtime):
    data = snakemake.params.data
    table, skipped = make_split(**data, threads=snakemake.threads)
    write_split(snakemake.output.split, table)
    write_table(skipped, snakemake.output.skipped)
    counts = ", ".join(f"{count} {part}" for part, count in table["split"].value_counts().items())
    log.info("%s: %d classes, pictures: %s", data["root"], table["label"].nunique(), counts)
    for row in skipped.itertuples():
        log.warning("skipped %s: %s", row.path, row.reason)
