"""Embed the pictures of a network, of every seed.

Inputs: the tables of its pictures, the embedder. Outputs: for each layer an `.npz` of embeddings.
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
