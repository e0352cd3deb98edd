"""Each channel's picture in a fine-tuned network against its picture in the base network."""


rule compare_features:
    input:
        **get_embedder(),
        bad=f"{RESULTS}/bad_channels.csv",
        base=lambda wildcards: get_first_pictures(plan.base, wildcards.layer),
        tuned=lambda wildcards: get_first_pictures(wildcards.tuned, wildcards.layer),
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
        compare={"pairs": 10, "embedder": {"network": plan.base}} | config.get("compare", {}),
        base=plan.base,
    script:
        "../scripts/compare_features.py"
