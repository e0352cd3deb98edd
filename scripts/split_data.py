"""List the pictures of a data set and split them. Outputs: split.csv (a row a picture), skipped.csv (path, reason)."""

from pathlib import Path

from transfer.dataset import make_split, write_split
from transfer.job import job, log
from transfer.tables import write_table

with job(snakemake.log[0], snakemake.resources.runtime):
    data = {"val_fraction": 0.2, "validation": "seeded", "on_bad_image": "error"} | snakemake.params.data
    table, skipped = make_split(
        data["format"],
        Path(data["root"]),
        val_fraction=data["val_fraction"],
        seed=data["seed"],
        validation=data["validation"],
        on_bad_image=data["on_bad_image"],
        threads=snakemake.threads,
    )
    write_split(snakemake.output.split, table)
    write_table(skipped, snakemake.output.skipped)
    counts = ", ".join(f"{count} {part}" for part, count in table["split"].value_counts().items())
    log.info("%s: %d classes, pictures: %s", data["root"], table["label"].nunique(), counts)
    for row in skipped.itertuples():
        log.warning("skipped %s: %s", row.path, row.reason)
