"""featurediff: which features of a CNN does fine-tuning change, how, and is the change real?"""

import os

from snakemake.utils import min_version

min_version("9.14")


# `--configfile` replaces the demo, it is not laid over it: Snakemake would merge the two, network by network.
if "networks" not in config:

    configfile: "config.yaml"


report: "report/workflow.rst"


# An image of the Dockerfile, for `--software-deployment-method apptainer`; without that option no job asks for it.
container: os.environ.get("FEATUREDIFF_IMAGE")


include: "rules/common.smk"
include: "rules/names.smk"
include: "rules/data.smk"
include: "rules/finetune.smk"
include: "rules/visualize.smk"
include: "rules/compare.smk"
include: "rules/difference.smk"
include: "rules/film.smk"
include: "rules/control.smk"
include: "rules/report.smk"


onstart:
    check_results()


rule all:
    default_target: True
    input:
        get_pictures,
        get_final_tables(),
        get_differences(),
        get_films(),
        get_controls(),
        PAGE,


rule pictures:
    input:
        get_pictures,


rule difference:
    input:
        get_differences(),
