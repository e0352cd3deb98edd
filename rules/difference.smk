"""Pictures of what a fine-tuned network and the base disagree about, and what these pictures do to photographs."""


# How many pictures of classes there are, and whether any at all, is known once both heads are looked at: so a folder is
# the output, and not each of its pictures. `update` keeps it while the job decides, by the content key in each PNG,
# which pictures to render.
rule visualize_difference:
    input:
        digests=lambda wildcards: get_digests(plan.base, wildcards.tuned),
        base=ancient(f"{RESULTS}/{plan.base}/network.pth"),
        tuned=ancient(f"{RESULTS}/{{tuned}}/network.pth"),
    output:
        pictures=report(
            update(directory(f"{RESULTS}/{{tuned}}/difference/output")),
            patterns=["start{start}.png"],
            caption="../report/difference_start.rst",
            category="Difference",
            subcategory="pictures",
            labels={"network": "{tuned}", "picture": "start {start}"},
        ),
        class_pictures=report(
            update(directory(f"{RESULTS}/{{tuned}}/difference/classes")),
            patterns=["class{number}.png"],
            caption="../report/difference_class.rst",
            category="Difference",
            subcategory="pictures",
            labels={"network": "{tuned}", "picture": "class {number}"},
        ),
        candidates=report(
            f"{RESULTS}/{{tuned}}/difference/candidates.csv",
            caption="../report/difference_candidates.rst",
            category="Difference",
            subcategory="tables",
            labels={"network": "{tuned}", "table": "classes that were tried"},
        ),
        starts=f"{RESULTS}/{{tuned}}/difference/starts.csv",
        classes=report(
            f"{RESULTS}/{{tuned}}/difference/classes.csv",
            caption="../report/difference_classes.rst",
            category="Difference",
            subcategory="tables",
            labels={"network": "{tuned}", "table": "classes that the pictures name"},
        ),
    log:
        f"{RESULTS}/logs/visualize_difference/{{tuned}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/visualize_difference/{{tuned}}.tsv"
    wildcard_constraints:
        tuned=one_of(plan.differences),
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=plan.gpu,
        mem_mb=scaled(8000),
        runtime=scaled(240),
    params:
        code=CODE,
        difference={"version": RECIPE_VERSION, **plan.difference()},
        layers=plan.layers,
    script:
        "../scripts/visualize_difference.py"


rule measure_difference:
    input:
        digests=lambda wildcards: get_digests(plan.base, wildcards.tuned),
        base=ancient(f"{RESULTS}/{plan.base}/network.pth"),
        tuned=ancient(f"{RESULTS}/{{tuned}}/network.pth"),
        splits=lambda wildcards: get_probe_splits(wildcards.tuned),
        pictures=f"{RESULTS}/{{tuned}}/difference/output",
        class_pictures=f"{RESULTS}/{{tuned}}/difference/classes",
        starts=f"{RESULTS}/{{tuned}}/difference/starts.csv",
        classes=f"{RESULTS}/{{tuned}}/difference/classes.csv",
    output:
        effects=f"{RESULTS}/{{tuned}}/difference/effects.csv",
        effect=report(
            f"{RESULTS}/{{tuned}}/difference/effect.csv",
            caption="../report/difference_effect.rst",
            category="Difference",
            subcategory="tables",
            labels={"network": "{tuned}", "table": "effect of the pictures on photographs"},
        ),
        photographs=f"{RESULTS}/{{tuned}}/difference/photographs.csv",
        flips=report(
            f"{RESULTS}/{{tuned}}/difference/flips.csv",
            caption="../report/difference_flips.rst",
            category="Difference",
            subcategory="tables",
            labels={"network": "{tuned}", "table": "answers that changed"},
        ),
        summary=f"{RESULTS}/{{tuned}}/difference/summary.json",
    log:
        f"{RESULTS}/logs/measure_difference/{{tuned}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_difference/{{tuned}}.tsv"
    wildcard_constraints:
        tuned=one_of(plan.differences),
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=plan.gpu,
        mem_mb=scaled(8000),
        runtime=scaled(120),
    params:
        code=CODE,
        probe=lambda wildcards: plan.probe(wildcards.tuned),
        photographs=config["difference"]["photographs"],
        seed=plan.seed,
    script:
        "../scripts/measure_difference.py"
