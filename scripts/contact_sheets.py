"""Put a network's pictures on numbered sheets.

Inputs: the tables of its pictures. Outputs: a PNG for each layer.
"""

from feature_vis.files import atomic_path
from feature_vis.images.png import channel_of, read_picture
from featurediff.rendering.picture_table import first_seed, listed_pictures
from featurediff.report.contact_sheet import contact_sheet
from featurediff.runtime.job import job

with job(snakemake.log[0], snakemake.resources.runtime):
    for table, output in zip(snakemake.input, snakemake.output, strict=True):
        files = first_seed(listed_pictures(table))
        sheet = contact_sheet((channel_of(file), read_picture(file)[0]) for file in files)
        with atomic_path(output) as temporary:
            sheet.save(temporary)
