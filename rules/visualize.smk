"""Pictures: a batch of channels a job, every picture a declared output, and what failed among them."""

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
            staging=f"{RESULTS}/{{network}}/pictures/.staging/{{layer}}",
        script:
            "../scripts/visualize.py"


rule list_pictures:
    input:
        lambda wildcards: get_leads(wildcards.network),
    output:
        expand(f"{RESULTS}/{{{{network}}}}/pictures/{{layer}}.csv", layer=plan.layers),
    log:
        f"{RESULTS}/logs/list_pictures/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/list_pictures/{{network}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(30),
    params:
        code=CODE,
        channels={layer: ranges_text(channels) for layer, channels in plan.channels.items()},
        seeds=len(plan.seeds),
    script:
        "../scripts/list_pictures.py"


rule find_failed_pictures:
    input:
        get_picture_tables(*plan.networks),
    output:
        report(
            f"{RESULTS}/failed_pictures.csv",
            caption="../report/failed_pictures.rst",
            category="Pictures",
            labels={"table": "failed pictures"},
        ),
    log:
        f"{RESULTS}/logs/find_failed_pictures.log",
    benchmark:
        f"{RESULTS}/benchmarks/find_failed_pictures.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
    params:
        code=CODE,
        rule=config["failed_pictures"],
    script:
        "../scripts/find_failed_pictures.py"
