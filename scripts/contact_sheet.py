"""All pictures of a layer on one sheet, numbered. Inputs: PNGs. Output: a PNG."""

from feature_vis.files import atomic_path
from feature_vis.png import channel_of, read_picture
from transfer.job import job
from transfer.plots import contact_sheet

with job(snakemake.log[0]):
    sheet = contact_sheet([(channel_of(file), read_picture(file)[0]) for file in snakemake.input])
    with atomic_path(snakemake.output[0]) as temporary:
        sheet.save(temporary)
