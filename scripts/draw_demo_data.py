"""Draw one of the demo's data sets into its root. Output: the list of the files drawn."""

from pathlib import Path

from feature_vis.files import write_text
from featurediff.data.demo.datasets import draw_data_set
from featurediff.runtime.job import job

with job(snakemake.log[0], snakemake.resources.runtime):
    settings = dict(snakemake.params.draw)
    files = draw_data_set(settings.pop("kind"), Path(settings.pop("root")), **settings)
    write_text(snakemake.output.manifest, "\n".join(str(file) for file in files) + "\n")
