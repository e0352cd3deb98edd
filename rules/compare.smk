"""Each channel's pictures in a fine-tuned network against its pictures in the base network."""

PAIR_KINDS = ["most_different", "most_similar"]


rule embed_features:
    input:
        **get_embedder(),
        features=lambda wildcards: get_features(wildcards.network),
    output:
        expand(f"{RESULTS}/{{{{network}}}}/embeddings/{{layer}}.npz", layer=plan.layers),
    log:
        f"{RESULTS}/logs/embed_features/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed_features/{{network}}.tsv"
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
        "../scripts/embed_features.py"


rule compare_units:
    input:
        digests=lambda wildcards: [f"{RESULTS}/{name}/network.sha256" for name in (plan.base, wildcards.tuned)],
        base=ancient(f"{RESULTS}/{plan.base}/network.pth"),
        tuned=ancient(f"{RESULTS}/{{tuned}}/network.pth"),
        splits=lambda wildcards: [f"{RESULTS}/data/{name}/split.csv" for name in plan.probe_data(wildcards.tuned)],
        base_features=get_features(plan.base),
        tuned_features=lambda wildcards: get_features(wildcards.tuned),
    output:
        units=f"{RESULTS}/compare/{{tuned}}/units.csv",
        images=f"{RESULTS}/compare/{{tuned}}/probe/images.csv",
        selectivity=f"{RESULTS}/compare/{{tuned}}/probe/selectivity.csv",
        layers=f"{RESULTS}/compare/{{tuned}}/probe/layers.csv",
        top_images=f"{RESULTS}/compare/{{tuned}}/probe/top_images.csv",
    log:
        f"{RESULTS}/logs/compare_units/{{tuned}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_units/{{tuned}}.tsv"
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
    script:
        "../scripts/compare_units.py"


rule compare_features:
    input:
        **get_embedder(),
        bad=f"{RESULTS}/bad_channels.csv",
        units=f"{RESULTS}/compare/{{tuned}}/units.csv",
        base_features=get_features(plan.base),
        tuned_features=lambda wildcards: get_features(wildcards.tuned),
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
        f"{RESULTS}/logs/compare_features/{{tuned}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_features/{{tuned}}.tsv"
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
        pairs=config.get("compare", {}).get("pairs", 10),
        base=plan.base,
        seed=plan.seed,
        layers=plan.layers,
    script:
        "../scripts/compare_features.py"
