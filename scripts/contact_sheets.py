"""A network's pictures on sheets, numbered. Inputs: PNGs. Outputs: a PNG a layer."""

from pathlib import Path

from feature_vis.files import atomic_path
from feature_vis.png import by_layer, channel_of, read_picture
from transfer.job import job
from transfer.plots import contact_sheet

with job(snakemake.log[0], snakemake.resources.runtime):
    pictures = by_layer(snakemake.input)
    for output in snakemake.output:
        (files,) = pictures[Path(output).stem]
        sheet = contact_sheet((channel_of(file), read_picture(file)[0]) for file in files)
        with atomic_path(output) as temporary:
            sheet.save(temporary)
