"""Each channel's pictures in a fine-tuned network against its pictures in the base network."""

PAIR_KINDS = ["most_different", "most_similar"]


rule embed_pictures:
    input:
        **get_embedder(),
        pictures=lambda wildcards: get_picture_tables(wildcards.network),
    output:
        expand(f"{RESULTS}/{{{{network}}}}/embeddings/{{layer}}.npz", layer=plan.layers),
    log:
        f"{RESULTS}/logs/embed_pictures/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed_pictures/{{network}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=plan.gpu,
        mem_mb=scaled(8000),
        runtime=scaled(120),
    params:
        code=CODE,
        embedder=plan.embedder,
        layers=plan.layers,
    script:
        "../scripts/embed_pictures.py"


rule measure_channels:
    input:
        digests=lambda wildcards: get_digests(plan.base, wildcards.tuned),
        base=ancient(f"{RESULTS}/{plan.base}/network.pth"),
        tuned=ancient(f"{RESULTS}/{{tuned}}/network.pth"),
        splits=lambda wildcards: get_probe_splits(wildcards.tuned),
        base_pictures=get_picture_tables(plan.base),
        tuned_pictures=lambda wildcards: get_picture_tables(wildcards.tuned),
    output:
        channels=f"{RESULTS}/compare/{{tuned}}/channels.csv",
        images=f"{RESULTS}/compare/{{tuned}}/probe/images.csv",
        selectivity=f"{RESULTS}/compare/{{tuned}}/probe/selectivity.csv",
        layers=f"{RESULTS}/compare/{{tuned}}/probe/layers.csv",
        top_images=f"{RESULTS}/compare/{{tuned}}/probe/top_images.csv",
    log:
        f"{RESULTS}/logs/measure_channels/{{tuned}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_channels/{{tuned}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=plan.gpu,
        mem_mb=scaled(8000),
        runtime=scaled(120),
    params:
        code=CODE,
        layers=plan.layers,
        probe=lambda wildcards: plan.probe(wildcards.tuned),
        top_images=config["compare"]["top_images"],
        changes_from=lambda wildcards: plan.changes_from(wildcards.tuned),
    script:
        "../scripts/measure_channels.py"


rule compare_pictures:
    input:
        **get_embedder(),
        failed=f"{RESULTS}/failed_pictures.csv",
        channels=f"{RESULTS}/compare/{{tuned}}/channels.csv",
        base_pictures=get_picture_tables(plan.base),
        tuned_pictures=lambda wildcards: get_picture_tables(wildcards.tuned),
        base_embeddings=expand(f"{RESULTS}/{plan.base}/embeddings/{{layer}}.npz", layer=plan.layers),
        tuned_embeddings=expand(f"{RESULTS}/{{{{tuned}}}}/embeddings/{{layer}}.npz", layer=plan.layers),
    output:
        tables=expand(
            f"{RESULTS}/compare/{{{{tuned}}}}/{{layer}}.{{suffix}}", layer=plan.layers, suffix=["csv", "parquet"]
        ),
        pairs=[
            report(
                directory(f"{RESULTS}/compare/{{tuned}}/{layer}/{kind}"),
                patterns=["rank{rank}_channel{channel}.png"],
                caption="../report/pair.rst",
                category="Pairs",
                subcategory=kind.replace("_", " "),
                labels={"network": "{tuned}", "layer": layer, "rank": "{rank}", "channel": "{channel}"},
            )
            for layer in plan.layers
            for kind in PAIR_KINDS
        ],
        ranking=report(
            f"{RESULTS}/compare/{{tuned}}/ranking.csv",
            caption="../report/ranking.rst",
            category="Change",
            labels={"table": "all channels, most changed first", "network": "{tuned}"},
        ),
        summary=report(
            f"{RESULTS}/compare/{{tuned}}/summary.csv",
            caption="../report/summary.rst",
            category="Change",
            labels={"table": "share that changed", "network": "{tuned}"},
        ),
        agreement=f"{RESULTS}/compare/{{tuned}}/agreement.csv",
        columns=f"{RESULTS}/compare/{{tuned}}/columns.yaml",
    log:
        f"{RESULTS}/logs/compare_pictures/{{tuned}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_pictures/{{tuned}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=plan.gpu,
        mem_mb=scaled(8000),
        runtime=scaled(120),
    params:
        code=CODE,
        embedder=plan.embedder,
        pairs=config["compare"]["pairs"],
        base=plan.base,
        seed=plan.seed,
        layers=plan.layers,
    script:
        "../scripts/compare_pictures.py"
