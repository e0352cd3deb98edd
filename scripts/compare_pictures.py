"""Compare a fine-tuned network's pictures with the base's, layer by layer, and rank all its channels.

Inputs: the tables of both networks' pictures, their embeddings, the bad channels, the channels' table, the embedder.
Outputs: for each layer a table with one row a channel, as CSV and Parquet, and pictures of pairs; a ranking, a summary
by layer, the agreement of pictures and answers, the columns.
"""

from pathlib import Path

from feature_vis.files import write_text
from featurediff.comparison.compare import (
    PAIR_KINDS,
    compare_files,
    describe_columns,
    join_measures,
    rank_layers,
    visual_and_functional,
    write_pairs,
)
from featurediff.measures.embedder import load_embedder
from featurediff.rendering.failed_pictures import read_failed
from featurediff.rendering.picture_table import first_seed, listed_pictures
from featurediff.runtime.job import job
from featurediff.runtime.tables import write_table

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params, output, network = snakemake.input, snakemake.params, snakemake.output, snakemake.wildcards.tuned
    embedder = load_embedder(params.embedder, given.get("embedder"), device)
    folder = Path(output.ranking).parent
    tables = []
    pictures = zip(given.base_pictures, given.tuned_pictures, strict=True)
    embeddings = zip(given.base_embeddings, given.tuned_embeddings, strict=True)
    for layer, pair, embedded in zip(params.layers, pictures, embeddings, strict=True):
        pictures = [first_seed(listed_pictures(table)) for table in pair]
        bad = read_failed(given.failed, layer, [params.base, network])
        table = compare_files(embedder, pictures, embedded, bad, network=network, layer=layer)
        tables.append(join_measures(table, given.channels))
        write_table(tables[-1], folder / f"{layer}.csv", folder / f"{layer}.parquet")
        for kind in PAIR_KINDS:
            write_pairs(tables[-1], folder / layer / kind, kind, params.pairs, *pictures)
    ranking, summary = rank_layers(tables)
    write_table(ranking, output.ranking)
    write_table(summary, output.summary)
    write_table(visual_and_functional(ranking, params.seed), output.agreement)
    write_text(output.columns, describe_columns())
