"""Train one network.

Inputs: the split of its photographs, the weights to start from. Outputs: a checkpoint for each epoch, the training log.
"""

from pathlib import Path

from feature_vis.files import file_digest
from featurediff.data.split import read_split
from featurediff.networks import Network, load_network, start_network
from featurediff.runtime.job import job, log
from featurediff.runtime.tables import write_table
from featurediff.training.finetune import finetune, publish_checkpoints, set_up_training, training_log
from featurediff.training.settings import TrainingSettings, training_key

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    params = snakemake.params.training
    settings = TrainingSettings.from_settings(params["settings"])
    start = load_network(snakemake.input.start) if "start" in snakemake.input.keys() else None  # noqa: SIM118
    network = start_network(params["model"], params["weights"], start, settings.seed)
    start_digest = Network(params["model"], network.state_dict()).digest()
    key = training_key(settings, params["model"], start_digest, file_digest(snakemake.input.split))
    setup = set_up_training(network, read_split(snakemake.input.split), Path(params["root"]), settings)
    files = finetune(setup, settings, key, Path(snakemake.params.store), device)
    publish_checkpoints(files, snakemake.output.checkpoints)
    table = training_log(files)
    write_table(table, snakemake.output.log)
    best = table.loc[table["val_accuracy"].idxmax()]
    log.info("best validation accuracy %.3f after epoch %d", best["val_accuracy"], best["epoch"])
