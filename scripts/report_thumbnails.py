"""Put a network's pictures, and the probe images that excite its channels most, on sheets of small images.

Inputs: the tables of its pictures; for a tuned network also the lists of probe images. Output: a folder of WebP sheets
and JSON.
"""

import json
from pathlib import Path

from feature_vis.files import write_text
from featurediff.rendering.picture_table import listed_pictures
from featurediff.report.probe_sheets import shown_images, write_probe_sheets
from featurediff.report.thumbnails import tile_size, write_thumbnails
from featurediff.runtime.job import job
from featurediff.runtime.tables import read_table

with job(snakemake.log[0], snakemake.resources.runtime):
    folder, params, workers = Path(snakemake.output[0]), snakemake.params, snakemake.threads
    for layer, table in zip(params.layers, snakemake.input.pictures, strict=True):
        write_thumbnails(folder, layer, listed_pictures(table), tile_size(params.pictures), workers)
    if params.probe:
        images, top = (read_table(path) for path in snakemake.input.probe)
        shown = shown_images(images, top)
        made = write_probe_sheets(folder, "probe", shown, **params.probe, workers=workers)
        write_text(folder / "probe.json", json.dumps(made))
