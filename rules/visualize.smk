"""Pictures: a batch of channels a job, every picture a declared output, and what failed among them."""

# One rule a batch, without wildcards: Snakemake finds at once who makes a picture, where it would try a pattern for each
# channel number (benchmarks/NOTES.md). No batch is in any path, so another batch size renders nothing again. `update`
# keeps current pictures in place while the job decides, by the content key in each PNG, which ones to render.
for network, layer, number, batch in plan.batches():

    rule:
        name:
            f"visualize_{network}_{layer}_{number}"
        input:
            digest=f"{RESULTS}/{network}/digests/{layer}.sha256",
            network=ancient(f"{RESULTS}/{network}/network.pth"),
        output:
            update(name_pictures(batch, network=network, layer=layer)),
        log:
            f"{RESULTS}/logs/visualize/{network}/{layer}/{batch[0]}-{batch[-1]}.log",
        benchmark:
            f"{RESULTS}/benchmarks/visualize/{network}/{layer}/{batch[0]}-{batch[-1]}.tsv"
        conda:
            "../envs/featurediff.yaml"
        threads: plan.threads
        resources:
            gpu=plan.gpu,
            mem_mb=scaled(8000),
            runtime=scaled(240),
        params:
            layer=layer,
            recipes={"version": RECIPE_VERSION, **plan.recipes(layer, batch)},
            staging=f"{RESULTS}/{network}/features/.staging/{layer}",
        script:
            "../scripts/visualize.py"


rule list_features:
    input:
        lambda wildcards: get_network_pictures(wildcards.network),
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
        rule=get_bad_rule(),
    script:
        "../scripts/find_bad_channels.py"
