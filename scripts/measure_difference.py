"""Measure what the pictures of the difference do to photographs, and how differently two networks answer on these.

Inputs: both networks, the pictures with their tables, the data sets' splits. Outputs: CSVs of the pictures' effects and
of the answers on photographs, and a JSON file with the sentence; without rows where nothing can be compared.
"""

from pathlib import Path

from featurediff.difference import (
    load_classifier,
    measure_effects,
    measure_photographs,
    read_photographs,
    summarize,
    why_not_comparable,
)
from featurediff.runtime.job import job, log

with job(
    snakemake.log[0], snakemake.resources.runtime, threads=snakemake.threads, gpu=snakemake.resources.gpu
) as device:
    given, params = snakemake.input, snakemake.params
    folder = Path(snakemake.output.summary).parent
    base, tuned = load_classifier(given.base), load_classifier(given.tuned)
    reason = why_not_comparable(base, tuned)
    shown = params.probe if reason is None else {**params.probe, "roots": {}}  # photographs that nobody is asked about
    photographs = read_photographs(given.get("splits", []) if shown["roots"] else [], **shown)
    settings = {"seed": params.seed, "device": device}
    measure_effects(base, tuned, photographs, folder, most=params.photographs, **settings)
    measure_photographs(base, tuned, photographs, folder, **settings)
    log.info("%s", summarize(folder, reason))
