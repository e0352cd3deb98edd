"""Find out which classes a network mistakes for which.

Inputs: the network, the split of its photographs. Outputs: the confusion matrix as a CSV and a plot, a CSV with one
row for each class, and what its columns mean.
"""

from pathlib import Path

from feature_vis.files import write_text
from featurediff.comparison.compare import describe_columns
from featurediff.data.split import read_split
from featurediff.networks import load_network
from featurediff.report.figures import confusion_matrix, save_figure
from featurediff.runtime.job import job, log
from featurediff.runtime.tables import write_table
from featurediff.training.evaluation import COLUMNS, class_table, confusion_table, evaluate_network
from featurediff.training.settings import TrainingSettings

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params = snakemake.input, snakemake.params
    settings = TrainingSettings.from_settings(params.settings)
    network = load_network(given.network)
    found = evaluate_network(network, read_split(given.split), Path(params.root), settings, device)
    write_table(confusion_table(found.confusion, network.class_names), snakemake.output.confusion)
    write_table(class_table(found.confusion, network.class_names), snakemake.output.classes)
    write_text(snakemake.output.columns, describe_columns(COLUMNS))
    save_figure(confusion_matrix(found.confusion, network.class_names), snakemake.output.plot)
    log.info("accuracy %.3f on %d validation pictures", found.accuracy, found.confusion.sum())
