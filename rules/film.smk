"""Through time: chosen channels at chosen epochs of every network that was trained from the base."""


# Which channels, the ranking says; so their pictures are no declared outputs, but lie in a store, `.film`, where the
# content key in each says whether it is current. The ranking stands for all pictures that are compared and copied.
rule film_epoch:
    input:
        **get_embedder(),
        ranking=f"{RESULTS}/compare/{{tuned}}/ranking.csv",
        failed=f"{RESULTS}/failed_pictures.csv",
        splits=lambda wildcards: get_probe_splits(wildcards.tuned),
        log=f"{RESULTS}/{{tuned}}/training.csv",
        base_digest=f"{RESULTS}/{plan.base}/network.sha256",
        base=ancient(f"{RESULTS}/{plan.base}/network.pth"),
        checkpoint=ancient(f"{RESULTS}/{{tuned}}/checkpoints/epoch{{epoch}}.pth"),
    output:
        f"{RESULTS}/{{tuned}}/film/epoch{{epoch}}.csv",
    log:
        f"{RESULTS}/logs/film_epoch/{{tuned}}/epoch{{epoch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/film_epoch/{{tuned}}/epoch{{epoch}}.tsv"
    wildcard_constraints:
        tuned=one_of(plan.filmed),
        epoch=r"\d+",
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=plan.gpu,
        mem_mb=scaled(8000),
        runtime=scaled(240),
    params:
        code=CODE,
        film=lambda wildcards: {"version": RECIPE_VERSION, **plan.film(wildcards.tuned)},
        probe=lambda wildcards: plan.probe(wildcards.tuned),
        changes_from=lambda wildcards: plan.changes_from(wildcards.tuned),
        embedder=plan.embedder,
        base=plan.base,
        failed_rule=config["failed_pictures"],
        base_pictures=f"{RESULTS}/{plan.base}/pictures",
        tuned_pictures=f"{RESULTS}/{{tuned}}/pictures",
        store=f"{RESULTS}/{{tuned}}/.film/epoch{{epoch}}",
    script:
        "../scripts/film_epoch.py"


rule film:
    input:
        lambda wildcards: get_film_epochs(wildcards.tuned),
    output:
        table=f"{RESULTS}/{{tuned}}/film/change.csv",
        plot=report(
            f"{RESULTS}/{{tuned}}/film/change.png",
            caption="../report/film_change.rst",
            category="Through the epochs",
            labels={"network": "{tuned}", "figure": "change by epoch"},
        ),
        films=[
            report(
                directory(f"{RESULTS}/{{tuned}}/film/{layer}"),
                patterns=["channel{channel}.png"],
                caption="../report/film.rst",
                category="Through the epochs",
                labels={"network": "{tuned}", "layer": layer, "channel": "{channel}"},
            )
            for layer in plan.film_channels
        ],
    log:
        f"{RESULTS}/logs/film/{{tuned}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/film/{{tuned}}.tsv"
    wildcard_constraints:
        tuned=one_of(plan.filmed),
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        code=CODE,
        layers=list(plan.film_channels),
        base_pictures=f"{RESULTS}/{plan.base}/pictures",
        store=f"{RESULTS}/{{tuned}}/.film",
    script:
        "../scripts/film.py"
