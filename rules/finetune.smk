"""Networks: trained epoch by epoch or loaded, then one checkpoint of each is chosen to be visualized."""

# One rule a network, because the number of checkpoints is its own. The checkpoints themselves outlive the job in
# `.training`, so that neither a job that was cut off nor more epochs train an epoch again.
for network in plan.trained:

    rule:
        name:
            f"finetune_{network}"
        input:
            unpack(lambda wildcards, network=network: get_start_weights(network)),
            split=get_training_split(network),
        output:
            checkpoints=[f"{RESULTS}/{network}/checkpoints/epoch{e}.pth" for e in range(plan.epochs(network))],
            log=f"{RESULTS}/{network}/training.csv",
        log:
            f"{RESULTS}/logs/finetune/{network}.log",
        benchmark:
            f"{RESULTS}/benchmarks/finetune/{network}.tsv"
        conda:
            "../envs/featurediff.yaml"
        threads: plan.training_threads(network)
        resources:
            gpu=plan.gpu,
            mem_mb=scaled(plan.training_memory(network)),
            runtime=scaled(1440),
        params:
            training={
                "version": TRAINING_VERSION,
                **plan.model(network),
                "weights": config["networks"][network].get("weights"),
                "settings": plan.training(network),
                "root": config["data"][config["networks"][network]["data"]]["root"],
            },
            store=f"{RESULTS}/{network}/.training",
        script:
            "../scripts/finetune.py"


rule select_checkpoint:
    input:
        log=f"{RESULTS}/{{network}}/training.csv",
        checkpoints=lambda wildcards: ancient(
            [f"{RESULTS}/{wildcards.network}/checkpoints/epoch{e}.pth" for e in range(plan.epochs(wildcards.network))]
        ),
    output:
        network=f"{RESULTS}/{{network}}/network.pth",
        digest=f"{RESULTS}/{{network}}/network.sha256",
        layers=expand(f"{RESULTS}/{{{{network}}}}/digests/{{layer}}.sha256", layer=plan.layers),
    log:
        f"{RESULTS}/logs/select_checkpoint/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/select_checkpoint/{{network}}.tsv"
    wildcard_constraints:
        network=one_of(plan.trained),
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(15),
    params:
        network=lambda wildcards: {
            **plan.model(wildcards.network),
            "epoch": config["networks"][wildcards.network]["epoch"],
        },
        layers=plan.layers,
    script:
        "../scripts/select_network.py"


rule load_network:
    input:
        unpack(lambda wildcards: get_start_weights(wildcards.network)),
    output:
        network=f"{RESULTS}/{{network}}/network.pth",
        digest=f"{RESULTS}/{{network}}/network.sha256",
        layers=expand(f"{RESULTS}/{{{{network}}}}/digests/{{layer}}.sha256", layer=plan.layers),
    log:
        f"{RESULTS}/logs/load_network/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/load_network/{{network}}.tsv"
    wildcard_constraints:
        network=one_of(plan.loaded),
    conda:
        "../envs/featurediff.yaml"
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(15),
    params:
        network=lambda wildcards: {
            **plan.model(wildcards.network),
            "weights": config["networks"][wildcards.network]["weights"],
        },
        layers=plan.layers,
    script:
        "../scripts/select_network.py"


# Of the epoch that is visualized, on the pictures that the training was validated on.
rule evaluate_network:
    input:
        digest=f"{RESULTS}/{{network}}/network.sha256",
        network=ancient(f"{RESULTS}/{{network}}/network.pth"),
        split=lambda wildcards: get_training_split(wildcards.network),
    output:
        confusion=f"{RESULTS}/{{network}}/evaluation/confusion.csv",
        classes=report(
            f"{RESULTS}/{{network}}/evaluation/classes.csv",
            caption="../report/classes.rst",
            category="Training",
            labels={"table": "accuracy by class", "network": "{network}"},
        ),
        columns=f"{RESULTS}/{{network}}/evaluation/columns.yaml",
        plot=report(
            f"{RESULTS}/{{network}}/evaluation/confusion.png",
            caption="../report/confusion.rst",
            category="Training",
            labels={"figure": "confusion matrix", "network": "{network}"},
        ),
    log:
        f"{RESULTS}/logs/evaluate_network/{{network}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate_network/{{network}}.tsv"
    wildcard_constraints:
        network=one_of(plan.trained),
    conda:
        "../envs/featurediff.yaml"
    threads: plan.threads
    resources:
        gpu=plan.gpu,
        mem_mb=scaled(8000),
        runtime=scaled(60),
    params:
        code=CODE,
        settings=lambda wildcards: plan.training(wildcards.network),
        root=lambda wildcards: config["data"][config["networks"][wildcards.network]["data"]]["root"],
    script:
        "../scripts/evaluate_network.py"
