"""Pictures: a batch of channels a job, every picture a declared output, and what failed among them."""


def name_pictures(channels, seeds=plan.seeds, network="{network}", layer="{layer}"):
    """The pictures of these channels, of the first seed in the layer's folder, of further ones in `seed<s>` below."""
    return picture_paths(f"{RESULTS}/{network}/features/{layer}", channels, seeds)


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


def get_features(*networks):
    """The tables of what networks' pictures reached, layer after layer: each stands for the pictures that it lists."""
    return expand(f"{RESULTS}/{{network}}/features/{{layer}}.csv", network=networks, layer=plan.layers)


# One rule for each distinct batch of channels; the networks, and the layers that have this batch, are its wildcards.
# No batch is in any path, so another batch size renders nothing again. `update` keeps current pictures in place
# while the job decides, by the content key in each PNG, which ones to render.
for number, (batch, layers) in enumerate(plan.batches().items()):

    rule:
        name:
            f"visualize_{number}"
        input:
            digest=f"{RESULTS}/{{network}}/digests/{{layer}}.sha256",
            network=ancient(f"{RESULTS}/{{network}}/network.pth"),
        output:
            update(name_pictures(batch)),
        log:
            f"{RESULTS}/logs/visualize/{{network}}/{{layer}}/{batch[0]}-{batch[-1]}.log",
        benchmark:
            f"{RESULTS}/benchmarks/visualize/{{network}}/{{layer}}/{batch[0]}-{batch[-1]}.tsv"
        wildcard_constraints:
            layer=one_of(layers),
        conda:
            "../envs/featurediff.yaml"
        threads: plan.threads
        resources:
            gpu=plan.gpu,
            mem_mb=scaled(8000),
            runtime=scaled(240),
        params:
            recipes=lambda wildcards, batch=batch: {
                "version": RECIPE_VERSION,
                **plan.recipes(wildcards.layer, batch),
            },
            staging=f"{RESULTS}/{{network}}/features/.staging/{{layer}}",
        script:
            "../scripts/visualize.py"


rule list_features:
    input:
        lambda wildcards: get_leads(wildcards.network),
    output:
        expand(f"{RESULTS}/{{{{network}}}}/features/{{layer}}.csv", layer=plan.layers),
    log:
        f"{RESULTS}/logs/list_features/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/list_features/{{network}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(30),
    params:
        code=CODE,
        channels={layer: ranges(channels) for layer, channels in plan.channels.items()},
        seeds=len(plan.seeds),
    script:
        "../scripts/list_features.py"


rule find_bad_channels:
    input:
        get_features(*plan.networks),
    output:
        report(
            f"{RESULTS}/bad_channels.csv",
            caption="../report/bad_channels.rst",
            category="Pictures",
            labels={"table": "faulty pictures"},
        ),
    log:
        f"{RESULTS}/logs/find_bad_channels.log",
    benchmark:
        f"{RESULTS}/benchmarks/find_bad_channels.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
    params:
        code=CODE,
        rule=config.get("bad_channels", {}),
    script:
        "../scripts/find_bad_channels.py"
