"""Another run of a fine-tuning, with another seed, as control: how much of the change is the task, how much the run?"""


rule compare_runs:
    input:
        **get_embedder(),
        ranking=lambda wildcards: f"{RESULTS}/compare/{plan.controls[wildcards.control]}/ranking.csv",
        ranking_control=f"{RESULTS}/compare/{{control}}/ranking.csv",
        network_pictures=lambda wildcards: get_picture_tables(plan.controls[wildcards.control]),
        control_pictures=lambda wildcards: get_picture_tables(wildcards.control),
        failed=f"{RESULTS}/failed_pictures.csv",
        splits=lambda wildcards: get_probe_splits(wildcards.control),
        digests=lambda wildcards: get_digests(*get_runs(wildcards.control)),
        networks=lambda wildcards: ancient([f"{RESULTS}/{name}/network.pth" for name in get_runs(wildcards.control)]),
    output:
        table=f"{RESULTS}/compare/{{control}}/control.csv",
        columns=f"{RESULTS}/compare/{{control}}/control_columns.yaml",
    log:
        f"{RESULTS}/logs/compare_runs/{{control}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_runs/{{control}}.tsv"
    wildcard_constraints:
        control=one_of(plan.controls),
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=plan.gpu,
        mem_mb=scaled(8000),
        runtime=scaled(120),
    params:
        code=CODE,
        runs=lambda wildcards: get_runs(wildcards.control),
        layers=plan.layers,
        seed=plan.seed,
        embedder=plan.embedder,
        probe=lambda wildcards: plan.probe(wildcards.control),
    script:
        "../scripts/compare_runs.py"
