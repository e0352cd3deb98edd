"""Compare a layer's pictures of a fine-tuned network with the base's.

Inputs: both networks' PNGs, the bad channels, the embedder. Outputs: a CSV with one row a channel, pair pictures.
"""

from pathlib import Path

import pandas as pd

from feature_vis.files import write_text
from transfer.compare import compare_files, load_embedder, write_pairs
from transfer.job import job

with job(snakemake.log[0], threads=snakemake.threads, gpu=snakemake.resources.gpu) as device:
    params, base, tuned = snakemake.params.compare, list(snakemake.input.base), list(snakemake.input.tuned)
    base_model, model, layer = snakemake.params.base, snakemake.wildcards.tuned, snakemake.wildcards.layer
    bad = pd.read_csv(snakemake.input.bad, dtype={"model": str, "layer": str}).query("layer == @layer and seed == 0")
    faulty = {
        "base": set(bad.query("model == @base_model")["channel"]),
        "tuned": set(bad.query("model == @model")["channel"]),
    }
    embedder = load_embedder(params["embedder"], snakemake.input.get("embedder"), device)
    table = compare_files(embedder, base, tuned, model, layer, faulty)
    write_text(snakemake.output.table, table.to_csv(index=False))
    for kind in ("most_different", "most_similar"):
        write_pairs(table, Path(snakemake.output[kind]), kind, params["pairs"], base, tuned)
