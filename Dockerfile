# The workflow with the versions of requirements.lock:   docker build --tag featurediff .
#   docker run --rm --gpus all --volume "$PWD:/work" --workdir /work featurediff \
#     snakemake --snakefile /featurediff/Snakefile --cores 8 --resources gpu=1 --configfile birds.yaml
# Where a cluster has Apptainer:   apptainer build featurediff.sif docker-daemon://featurediff:latest
FROM python:3.11-slim-bookworm

WORKDIR /featurediff
# The packages first: a change of the code does not install them again.
COPY requirements.lock pyproject.toml README.md ./
RUN mkdir -p lib/feature_vis lib/featurediff lib/transfer \
    && pip install --no-cache-dir --constraint requirements.lock --editable '.[slurm]'
COPY Snakefile config.yaml ./
COPY config config
COPY envs envs
COPY lib lib
COPY profiles profiles
COPY report report
COPY rules rules
COPY scripts scripts
ENV PYTHONPATH=/featurediff/lib
CMD ["snakemake", "--help"]
