"""Write the page that shows what changed. Inputs: tables, logs, embeddings, sheets. Outputs: index.html, code, data."""

from datetime import UTC, datetime
from pathlib import Path

from featurediff.report import provenance
from featurediff.report.page import write_page
from featurediff.report.sources import Sources, network_facts
from featurediff.report.thumbnails import tile_size
from featurediff.runtime.job import job
from featurediff.runtime.tables import read_table

with job(snakemake.log[0], snakemake.resources.runtime):
    given, params = snakemake.input, snakemake.params
    results = Path(snakemake.output.page).parents[1]
    logs = {name: read_table(log) for name, log in zip(params.trained, given.logs, strict=True)}
    files = zip(params.networks, given.networks, strict=True)
    networks = [network_facts(network, logs.get(network["name"]), file) for network, file in files]
    run = {
        "title": params.title,
        "tile": tile_size(params.pictures),
        "command": provenance.start_command(params.program, params.configfiles, str(results)),
        "embedder": provenance.describe_embedder(params.embedder),
        "seeds": params.seeds,
        "links": params.links,
        "results": str(results),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": provenance.revision(params.project),
        "versions": provenance.versions(),
        "devices": provenance.devices(results / "logs"),
        "seconds": provenance.seconds_by_step(results / "benchmarks"),
    }
    write_page(
        results / "report", Sources(results, params.base, networks, params.layers, logs, params.differences), run
    )
