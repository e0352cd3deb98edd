"""Write the page that shows what changed. Inputs: tables, logs, plots, sheets, pairs. Output: index.html."""

from pathlib import Path

import pandas as pd

from transfer.job import job
from transfer.report import Comparison, NetworkSummary, Pair, ReportData, Sheet, write_report
from transfer.tables import read_table


def summary(network: dict[str, str], log: str | None, network_file: str) -> NetworkSummary:
    """A network's row: the accuracies are those of the epoch that is visualized."""
    from transfer.network import load_network

    loaded = load_network(network_file)
    shown = {**network, "epoch": loaded.epoch, "class_names": loaded.class_names or []}
    if log is not None:
        row = read_table(log).set_index("epoch").loc[loaded.epoch]
        shown |= {"train_accuracy": row["train_accuracy"], "val_accuracy": row["val_accuracy"]}
    return NetworkSummary(**shown)


def comparison(table_file: str, folder: str) -> Comparison:
    """A layer of a network, with the pairs that were written for it."""
    table = read_table(table_file)
    pairs = [Pair(int(file.stem.partition("_channel")[2]), file) for file in sorted(Path(folder).glob("rank*.png"))]
    return Comparison(table["model"].iloc[0], table["layer"].iloc[0], table, pairs)


with job(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    logs = dict(zip(params.trained, given.logs, strict=True))
    files = zip(params.networks, given.networks, strict=True)
    data = ReportData(
        title="What did fine-tuning change?",
        base=params.base,
        networks=[summary(network, logs.get(network["name"]), file) for network, file in files],
        comparisons=[comparison(*both) for both in zip(given.tables, given.pairs, strict=True)],
        facts=params.facts,
        training_curves=Path(given.training) if params.trained else None,
        similarity_plot=Path(given.similarity),
        sheets=[Sheet(Path(file).parent.name, Path(file).stem, Path(file)) for file in given.sheets],
        changes=pd.concat([read_table(file) for file in given.changes] or [pd.DataFrame()]),
        bad_channels=read_table(given.bad),
    )
    write_report(snakemake.output[0], data)
