"""Plots, contact sheets, and the page that shows what changed."""

PAGE = f"{RESULTS}/report/index.html"


rule contact_sheets:
    input:
        lambda wildcards: get_picture_tables(wildcards.network),
    output:
        [
            report(
                f"{RESULTS}/plots/contact_sheets/{{network}}/{layer}.png",
                caption="../report/contact_sheet.rst",
                category="Pictures",
                labels={"network": "{network}", "layer": layer},
            )
            for layer in plan.layers
        ],
    log:
        f"{RESULTS}/logs/contact_sheets/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/contact_sheets/{{network}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(15),
    params:
        code=CODE,
    script:
        "../scripts/contact_sheets.py"


rule plots:
    input:
        tables=expand(f"{RESULTS}/compare/{{tuned}}/{{layer}}.csv", tuned=plan.tuned, layer=plan.layers),
        logs=expand(f"{RESULTS}/{{network}}/training.csv", network=plan.trained),
    output:
        similarity=report(
            f"{RESULTS}/plots/similarity.png",
            caption="../report/similarity.rst",
            category="Change",
            labels={"figure": "similarity by layer"},
        ),
        training=report(
            f"{RESULTS}/plots/training.png",
            caption="../report/training.rst",
            category="Training",
            labels={"figure": "training curves"},
        ),
    log:
        f"{RESULTS}/logs/plots.log",
    benchmark:
        f"{RESULTS}/benchmarks/plots.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
    params:
        code=CODE,
        trained=plan.trained,
    script:
        "../scripts/plots.py"


# The page's pictures are one job a network, so that only that network's are made small again which has new ones.
rule report_thumbnails:
    input:
        pictures=lambda wildcards: get_picture_tables(wildcards.network),
        probe=lambda wildcards: (
            [f"{RESULTS}/compare/{wildcards.network}/probe/{name}.csv" for name in ("images", "top_images")]
            if wildcards.network in plan.tuned
            else []
        ),
    output:
        directory(f"{RESULTS}/report/thumbs/{{network}}"),
    log:
        f"{RESULTS}/logs/report_thumbnails/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_thumbnails/{{network}}.tsv"
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(60),
    params:
        code=CODE,
        layers=plan.layers,
        pictures=plan.picture_count,
        probe=lambda wildcards: (plan.probe(wildcards.network) if wildcards.network in plan.tuned else {}),
    script:
        "../scripts/report_thumbnails.py"


rule report_charts:
    output:
        f"{RESULTS}/report/vega.js",
    log:
        f"{RESULTS}/logs/report_charts.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_charts.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
    params:
        code=CODE,
    script:
        "../scripts/report_charts.py"


rule report:
    input:
        tables=expand(f"{RESULTS}/compare/{{tuned}}/{{layer}}.csv", tuned=plan.tuned, layer=plan.layers),
        changes=expand(
            f"{RESULTS}/compare/{{tuned}}/{{name}}",
            tuned=plan.tuned,
            name=[
                "ranking.csv",
                "summary.csv",
                "agreement.csv",
                "columns.yaml",
                "probe/selectivity.csv",
                "probe/layers.csv",
            ],
        ),
        further=[*get_films(), *get_controls()],
        differences=[f"{RESULTS}/{network}/difference/{part}" for network in plan.differences for part in DIFFERENCE],
        failed=f"{RESULTS}/failed_pictures.csv",
        logs=expand(f"{RESULTS}/{{network}}/training.csv", network=plan.trained),
        digests=get_digests(*plan.networks),
        networks=ancient(expand(f"{RESULTS}/{{network}}/network.pth", network=plan.networks)),
        embeddings=(
            expand(f"{RESULTS}/{{network}}/embeddings/{{layer}}.npz", network=plan.networks, layer=plan.layers)
            if plan.tuned
            else []
        ),
        thumbnails=expand(f"{RESULTS}/report/thumbs/{{network}}", network=plan.networks),
        charts=f"{RESULTS}/report/vega.js",
        similarity=f"{RESULTS}/plots/similarity.png",
        training=f"{RESULTS}/plots/training.png",
        evaluations=expand(f"{RESULTS}/{{network}}/evaluation/classes.csv", network=plan.trained),
        sheets=expand(
            f"{RESULTS}/plots/contact_sheets/{{network}}/{{layer}}.png", network=plan.networks, layer=plan.layers
        ),
    output:
        page=PAGE,
        parts=directory([f"{RESULTS}/report/page", f"{RESULTS}/report/data"]),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(10),
    params:
        code=CODE,
        title="What did fine-tuning change?",
        project=HERE,
        base=plan.base,
        networks=[get_facts(network) for network in plan.networks],
        layers=plan.layers,
        trained=plan.trained,
        embedder=plan.embedder,
        seeds={"seed": plan.seed, "seeds": len(plan.seeds)},
        pictures=plan.picture_count,
        program=get_program(),
        configfiles=[os.path.relpath(file) for file in workflow.overwrite_configfiles],
        differences=plan.differences,
        links=get_report_links(),
    script:
        "../scripts/report.py"
