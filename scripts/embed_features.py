"""Embed a network's pictures. Inputs: its PNGs of every layer and seed, the embedder.

Outputs: an `.npz` of embeddings a layer.
"""

from pathlib import Path

from feature_vis.png import by_layer
from transfer.compare import embed_files, load_embedder
from transfer.job import job

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    embedder = load_embedder(snakemake.params.embedder, snakemake.input.get("embedder"), device)
    pictures = by_layer(snakemake.input.pictures)
    for layer, output in zip(snakemake.params.layers, snakemake.output, strict=True):
        embed_files(embedder, pictures[layer][0], Path(output))
