"""Copy the library that draws the page's charts out of its Python package. Output: a script."""

from feature_vis.files import write_text
from featurediff.report.page import chart_library
from featurediff.runtime.job import job

with job(snakemake.log[0], snakemake.resources.runtime):
    write_text(snakemake.output[0], chart_library())
