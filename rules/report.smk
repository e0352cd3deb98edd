"""Plots, contact sheets, and the page that shows what changed."""


rule contact_sheets:
    input:
        lambda wildcards: get_first_pictures(wildcards.network),
    output:
        expand(f"{RESULTS}/plots/contact_sheets/{{{{network}}}}/{{layer}}.png", layer=plan.layers),
    log:
        f"{RESULTS}/logs/contact_sheets/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/contact_sheets/{{network}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    script:
        "../scripts/contact_sheets.py"


rule plots:
    input:
        tables=expand(f"{RESULTS}/compare/{{tuned}}/{{layer}}.csv", tuned=plan.tuned, layer=plan.layers),
        logs=expand(f"{RESULTS}/{{network}}/training.csv", network=plan.trained),
    output:
        similarity=f"{RESULTS}/plots/similarity.png",
        training=f"{RESULTS}/plots/training.png",
    log:
        f"{RESULTS}/logs/plots.log",
    benchmark:
        f"{RESULTS}/benchmarks/plots.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        trained=plan.trained,
    script:
        "../scripts/plots.py"


rule report:
    input:
        tables=expand(f"{RESULTS}/compare/{{tuned}}/{{layer}}.csv", tuned=plan.tuned, layer=plan.layers),
        pairs=expand(f"{RESULTS}/compare/{{tuned}}/{{layer}}/most_different", tuned=plan.tuned, layer=plan.layers),
        changes=expand(f"{RESULTS}/compare/{{tuned}}/summary.csv", tuned=plan.tuned),
        bad=f"{RESULTS}/bad_channels.csv",
        logs=expand(f"{RESULTS}/{{network}}/training.csv", network=plan.trained),
        digests=expand(f"{RESULTS}/{{network}}/network.sha256", network=plan.networks),
        networks=ancient(expand(f"{RESULTS}/{{network}}/network.pth", network=plan.networks)),
        similarity=f"{RESULTS}/plots/similarity.png",
        training=f"{RESULTS}/plots/training.png",
        sheets=expand(
            f"{RESULTS}/plots/contact_sheets/{{network}}/{{layer}}.png", network=plan.networks, layer=plan.layers
        ),
    output:
        get_report(),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        base=plan.base,
        networks=[plan.summary(network) for network in plan.networks],
        trained=plan.trained,
        facts=plan.facts(),
    script:
        "../scripts/report.py"
