"""The library that draws the page's charts, out of its package. Output: a script."""

from feature_vis.files import write_text
from transfer.job import job
from transfer.report.page import chart_library

with job(snakemake.log[0], snakemake.resources.runtime):
    write_text(snakemake.output[0], chart_library())
