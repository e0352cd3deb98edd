"""Embed a layer's pictures. Inputs: the network's PNGs of every seed, the embedder. Output: an `.npz` of embeddings."""

from pathlib import Path

from transfer.compare import embed_files, load_embedder
from transfer.job import job

with job(snakemake.log[0], threads=snakemake.threads, gpu=snakemake.resources.gpu) as device:
    embedder = load_embedder(snakemake.params.embedder, snakemake.input.get("embedder"), device)
    embed_files(embedder, list(snakemake.input.pictures), Path(snakemake.output[0]))
