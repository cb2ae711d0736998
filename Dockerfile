# One image for the head, the workers and `rpe2d-bench work`: every node runs the same code and versions.
#   docker build --tag rpe2d-bench .
FROM python:3.11-slim

# A compiler for torch.compile on CPUs; git, so that records know the commit
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/rpe2d-bench
COPY . .
RUN git config --system --add safe.directory /opt/rpe2d-bench \
    && pip install --no-cache-dir --constraint constraints.txt --editable ".[cluster,gpu]"

RUN useradd --create-home --uid 1000 ray
USER ray
WORKDIR /home/ray
CMD ["rpe2d-bench", "--help"]
