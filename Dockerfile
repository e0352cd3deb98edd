# Everything with the versions of requirements.lock:   docker build --tag featurediff .
#   docker run --rm --gpus all --volume "$PWD:/work" featurediff featurediff run --cores 8 --resources gpu=1
# Where a cluster has Apptainer:   apptainer build featurediff.sif docker-daemon://featurediff:latest
FROM python:3.11-slim-bookworm

WORKDIR /source
# The packages first: a change of the code does not install them again.
COPY requirements.lock pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    print(*project['dependencies'], *project['optional-dependencies']['slurm'], sep='\n')" > requirements.txt \
    && pip install --no-cache-dir --constraint requirements.lock --requirement requirements.txt hatchling
COPY README.md LICENSE Snakefile config.yaml ./
COPY config config
COPY envs envs
COPY lib lib
COPY profiles profiles
COPY report report
COPY rules rules
COPY scripts scripts
RUN pip install --no-cache-dir --constraint requirements.lock --no-deps --no-build-isolation . && rm -r /source/*
WORKDIR /work
CMD ["featurediff", "--help"]
