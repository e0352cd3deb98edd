"""Embed a network's pictures of every seed. Inputs: their tables, a layer each, and the embedder.

Outputs: an `.npz` of embeddings a layer.
"""

from pathlib import Path

from featurediff.measures.embedder import embed_pictures, load_embedder
from featurediff.measures.embeddings import save_embeddings
from featurediff.rendering.picture_table import listed_pictures
from featurediff.runtime.job import job

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    embedder = load_embedder(snakemake.params.embedder, snakemake.input.get("embedder"), device)
    for table, output in zip(snakemake.input.pictures, snakemake.output, strict=True):
        save_embeddings(Path(output), *embed_pictures(embedder, listed_pictures(table)))
