"""Each channel's pictures in a fine-tuned network against its pictures in the base network."""


rule embed_features:
    input:
        **get_embedder(),
        pictures=lambda wildcards: get_layer_pictures(wildcards.network, wildcards.layer),
    output:
        f"{RESULTS}/{{network}}/embeddings/{{layer}}.npz",
    log:
        f"{RESULTS}/logs/embed_features/{{network}}/{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed_features/{{network}}/{{layer}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=120,
    params:
        embedder=plan.embedder,
    script:
        "../scripts/embed_features.py"


rule compare_units:
    input:
        digests=lambda wildcards: [f"{RESULTS}/{name}/network.sha256" for name in (plan.base, wildcards.tuned)],
        base=ancient(f"{RESULTS}/{plan.base}/network.pth"),
        tuned=ancient(f"{RESULTS}/{{tuned}}/network.pth"),
        splits=lambda wildcards: [f"{RESULTS}/data/{name}/split.csv" for name in plan.probe_data(wildcards.tuned)],
        base_pictures=[picture for layer in plan.layers for picture in get_first_pictures(plan.base, layer)],
        tuned_pictures=lambda wildcards: [
            picture for layer in plan.layers for picture in get_first_pictures(wildcards.tuned, layer)
        ],
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
        gpu=1,
        mem_mb=8000,
        runtime=120,
    params:
        probe=lambda wildcards: plan.probe(wildcards.tuned),
    script:
        "../scripts/compare_units.py"


rule compare_features:
    input:
        **get_embedder(),
        bad=f"{RESULTS}/bad_channels.csv",
        units=f"{RESULTS}/compare/{{tuned}}/units.csv",
        base=lambda wildcards: get_first_pictures(plan.base, wildcards.layer),
        tuned=lambda wildcards: get_first_pictures(wildcards.tuned, wildcards.layer),
        embeddings=[f"{RESULTS}/{network}/embeddings/{{layer}}.npz" for network in (plan.base, "{tuned}")],
    output:
        table=f"{RESULTS}/compare/{{tuned}}/{{layer}}.csv",
        most_different=directory(f"{RESULTS}/compare/{{tuned}}/{{layer}}/most_different"),
        most_similar=directory(f"{RESULTS}/compare/{{tuned}}/{{layer}}/most_similar"),
    log:
        f"{RESULTS}/logs/compare_features/{{tuned}}/{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_features/{{tuned}}/{{layer}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=120,
    params:
        embedder=plan.embedder,
        pairs=config.get("compare", {}).get("pairs", 10),
        base=plan.base,
    script:
        "../scripts/compare_features.py"


rule rank_changes:
    input:
        expand(f"{RESULTS}/compare/{{{{tuned}}}}/{{layer}}.csv", layer=plan.layers),
    output:
        ranking=f"{RESULTS}/compare/{{tuned}}/ranking.csv",
        summary=f"{RESULTS}/compare/{{tuned}}/summary.csv",
        columns=f"{RESULTS}/compare/{{tuned}}/columns.yaml",
    log:
        f"{RESULTS}/logs/rank_changes/{{tuned}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/rank_changes/{{tuned}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    script:
        "../scripts/rank_changes.py"
