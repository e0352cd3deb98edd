"""Compare a fine-tuned network's pictures with the base's, layer by layer, and rank all its channels.

Inputs: the tables of both networks' pictures, their embeddings, the failed pictures, the channels' measures, the
embedder. Outputs: for each layer a table with one row for each channel, as CSV and Parquet, and pictures of pairs; the
ranking, the summary by layer, the agreement of pictures and answers, and what the columns mean.
"""

from pathlib import Path

from feature_vis.files import write_text
from featurediff.comparison.compare import (
    compare_layer_files,
    describe_columns,
    join_measures,
    picture_answer_agreement,
    rank_layers,
    write_pairs,
)
from featurediff.measures.embedder import load_embedder
from featurediff.rendering.picture_pairs import listed_pairs
from featurediff.runtime.job import job
from featurediff.runtime.tables import read_table, write_table

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params, output, network = snakemake.input, snakemake.params, snakemake.output, snakemake.wildcards.tuned
    embedder = load_embedder(params.embedder, given.get("embedder"), device)
    folder, failed, measures = Path(output.ranking).parent, read_table(given.failed), read_table(given.channels)
    names, of_both = (params.base, network), (given.base_pictures, given.tuned_pictures)
    embeddings = zip(given.base_embeddings, given.tuned_embeddings, strict=True)
    pictures = listed_pairs(params.layers, *of_both, failed, names)
    tables = []
    for (layer, pairs), embedded in zip(pictures.items(), embeddings, strict=True):
        table = join_measures(compare_layer_files(embedder, pairs, embedded, network=network, layer=layer), measures)
        write_table(table, folder / f"{layer}.csv", folder / f"{layer}.parquet")
        write_pairs(table, pairs, folder / layer, params.pairs)
        tables.append(table)
    ranking, summary = rank_layers(tables)
    write_table(ranking, output.ranking)
    write_table(summary, output.summary)
    write_table(picture_answer_agreement(ranking, params.seed), output.agreement)
    write_text(output.columns, describe_columns())
