"""Compare a layer's pictures of a fine-tuned network with the base's.

Inputs: both networks' PNGs and embeddings, the bad channels, the units' table, the embedder. Outputs: a CSV with one
row a channel, pair pictures.
"""

from pathlib import Path

from feature_vis.files import write_text
from transfer.compare import bad_pictures, compare_files, join_units, load_embedder, write_pairs
from transfer.job import job

with job(snakemake.log[0], threads=snakemake.threads, gpu=snakemake.resources.gpu) as device:
    pictures = list(snakemake.input.base), list(snakemake.input.tuned)
    model, layer = snakemake.wildcards.tuned, snakemake.wildcards.layer
    bad = bad_pictures(snakemake.input.bad, layer, [snakemake.params.base, model])
    embedder = load_embedder(snakemake.params.embedder, snakemake.input.get("embedder"), device)
    table = compare_files(embedder, pictures, tuple(snakemake.input.embeddings), bad, model=model, layer=layer)
    table = join_units(table, snakemake.input.units)
    write_text(snakemake.output.table, table.to_csv(index=False))
    for kind in ("most_different", "most_similar"):
        write_pairs(table, Path(snakemake.output[kind]), kind, snakemake.params.pairs, *pictures)
