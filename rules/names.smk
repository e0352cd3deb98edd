"""What the steps' files are called, by step."""


def get_start_weights(network):
    """Where a network's weights come from: the file that the config names; or another network, of which the digest is
    tracked, the large file is not.
    """
    start = plan.starts_from(network)
    if start is None:
        weights = config["networks"][network].get("weights")
        return {"weights": weights} if weights is not None and os.path.isfile(weights) else {}
    return {
        "start_digest": f"{RESULTS}/{start}/network.sha256",
        "start": ancient(f"{RESULTS}/{start}/network.pth"),
    }


def get_training_split(network):
    return f"{RESULTS}/data/{config['networks'][network]['data']}/split.csv"


def name_pictures(channels, seeds=plan.seeds, network="{network}", layer="{layer}"):
    """The pictures of these channels, of the first seed in the layer's folder, of further ones in `seed<s>` below."""
    return picture_paths(f"{RESULTS}/{network}/pictures/{layer}", channels, seeds)


def get_pictures(wildcards):
    """One picture for all of its batch, the first that is missing: what is missing is made only where a target asks
    for it, and Snakemake takes its time for each file that is asked for.
    """
    named = [
        name_pictures(batch, network=network, layer=layer)
        for network in plan.networks
        for batch, layers in plan.batches().items()
        for layer in layers
    ]
    return [next((picture for picture in pictures if not os.path.exists(picture)), pictures[0]) for pictures in named]


def get_leads(network):
    """Pictures of a network that stand for all others of their batches."""
    return [p for layer in plan.layers for p in name_pictures(plan.leads(layer), plan.seeds[:1], network, layer)]


def get_picture_tables(*networks):
    """The tables of what networks' pictures reached, layer after layer: each stands for the pictures that it lists."""
    return expand(f"{RESULTS}/{{network}}/pictures/{{layer}}.csv", network=networks, layer=plan.layers)


def get_embedder():
    """The network that embeds pictures, where it is one of the config's; another is loaded by its name or path."""
    network = plan.embedder.get("network")
    if network is None:
        return {}
    return {
        "embedder_digest": f"{RESULTS}/{network}/network.sha256",
        "embedder": ancient(f"{RESULTS}/{network}/network.pth"),
    }


def get_digests(*networks):
    """Small files that tell whether networks are the same: they are tracked, the large files are not."""
    return expand(f"{RESULTS}/{{network}}/network.sha256", network=networks)


def get_probe_splits(network):
    return expand(f"{RESULTS}/data/{{data}}/split.csv", data=plan.probe_data(network))


# All that a network's difference is made of, as far as the page shows it.
DIFFERENCE = ["output", "classes", "summary.json"]
DIFFERENCE += [
    f"{table}.csv" for table in ("candidates", "starts", "classes", "effects", "effect", "photographs", "flips")
]


def get_differences():
    """The last of each network's difference, for which all of it is made."""
    return expand(f"{RESULTS}/{{tuned}}/difference/summary.json", tuned=plan.differences)


def get_final_tables():
    return [
        f"{RESULTS}/failed_pictures.csv",
        *expand(f"{RESULTS}/compare/{{tuned}}/{{layer}}.csv", tuned=plan.tuned, layer=plan.layers),
        *expand(f"{RESULTS}/compare/{{tuned}}/{{table}}.csv", tuned=plan.tuned, table=["ranking", "summary"]),
    ]


def get_films():
    return [
        *expand(f"{RESULTS}/{{network}}/film/change.csv", network=plan.filmed),
        *expand(f"{RESULTS}/{{network}}/film/{{layer}}", network=plan.filmed, layer=plan.film_channels),
        *[epoch for network in plan.filmed for epoch in get_film_epochs(network)],
    ]


def get_film_epochs(network):
    return [f"{RESULTS}/{network}/film/epoch{epoch}.csv" for epoch in plan.film_epochs(network)]


def get_controls():
    return expand(f"{RESULTS}/compare/{{control}}/control.csv", control=plan.controls)


def get_runs(control):
    """A network, and the control that is another run of it."""
    return [plan.controls[control], control]


def get_facts(network):
    """What the page says of a network's origin."""
    settings = config["networks"][network]
    given = {key: settings[key] for key in ("weights", "data") if settings.get(key) is not None}
    return {"name": network, "architecture": plan.architecture(network), **given}


def get_program():
    """What starts the workflow in this folder: snakemake where it finds the Snakefile by itself, else `featurediff run`."""
    snakefile = os.path.abspath(workflow.main_snakefile)
    if os.path.dirname(snakefile) in (os.getcwd(), os.path.join(os.getcwd(), "workflow")):
        return ["snakemake"]
    if snakefile == os.path.join(HERE, "Snakefile"):
        return ["featurediff", "run"]
    return ["snakemake", "--snakefile", snakefile]


def get_report_links():
    """Title -> path from the page, of what is drawn for looking at it elsewhere."""
    sheets = {
        f"All pictures of {network}, {layer}": f"../plots/contact_sheets/{network}/{layer}.png"
        for network in plan.networks
        for layer in plan.layers
    }
    evaluations = {}
    for network in plan.trained:
        evaluations[f"Confusion matrix of {network}"] = f"../{network}/evaluation/confusion.png"
        evaluations[f"Accuracy of {network} by class"] = f"../{network}/evaluation/classes.csv"
    plots = {"Similarity by layer": "../plots/similarity.png", "Training": "../plots/training.png"}
    return {**plots, **evaluations, **sheets}
