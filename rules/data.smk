"""Data sets: the demo's are drawn, every one is listed and split."""


rule draw_demo_data:
    output:
        manifest=f"{RESULTS}/data/{{dataset}}/drawn.txt",
    log:
        f"{RESULTS}/logs/draw_demo_data/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_demo_data/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=one_of(plan.drawn),
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
    params:
        draw=lambda wildcards: {
            **config["data"][wildcards.dataset]["draw"],
            "root": config["data"][wildcards.dataset]["root"],
            "seed": plan.seed,
        },
    script:
        "../scripts/draw_demo_data.py"


rule split_data:
    input:
        lambda wildcards: (f"{RESULTS}/data/{wildcards.dataset}/drawn.txt" if wildcards.dataset in plan.drawn else []),
    output:
        split=f"{RESULTS}/data/{{dataset}}/split.csv",
        skipped=f"{RESULTS}/data/{{dataset}}/skipped.csv",
    log:
        f"{RESULTS}/logs/split_data/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/split_data/{{dataset}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    threads: min(4, plan.threads)
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(60),
    params:
        data=lambda wildcards: plan.data(wildcards.dataset),
    script:
        "../scripts/split_data.py"
