"""Choose the checkpoint of a network that is visualized, or load its weights.

Inputs: the training log and checkpoints if it was trained here. Outputs: the network, its digest, and a digest for each
layer.
"""

from feature_vis.files import write_text
from featurediff.networks import load_network, load_weights, network_of_checkpoint, save_network
from featurediff.rendering.batch import layer_digests
from featurediff.runtime.job import job, log
from featurediff.runtime.tables import read_table
from featurediff.training.finetune import choose_epoch

with job(snakemake.log[0], snakemake.resources.runtime):
    params = snakemake.params.network
    if "epoch" in params:
        epoch = choose_epoch(read_table(snakemake.input.log), params["epoch"])
        log.info("epoch %d is visualized", epoch)
        network = network_of_checkpoint(snakemake.input.checkpoints[epoch], params["model"])
    elif "start" in snakemake.input.keys():  # noqa: SIM118
        network = load_network(snakemake.input.start)
    else:
        network = load_weights(params["model"], params["weights"])
    save_network(snakemake.output.network, network)
    digests = layer_digests(snakemake.output.network, list(snakemake.params.layers))
    for layer, file in zip(snakemake.params.layers, snakemake.output.layers, strict=True):
        write_text(file, digests[layer] + "\n")
    write_text(snakemake.output.digest, network.digest() + "\n")
