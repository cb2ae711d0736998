# One image for the head, the workers and `rpe2d-bench work`: every node runs the same code and versions.
#   docker build --tag rpe2d-bench .
# From a clone, so that records know the commit. Arguments (--build-arg NAME=VALUE): TORCH_INDEX, as in the Makefile, one
# more package index, which has PyTorch for processors alone (a fifth of the size); EXTRAS, what pyproject.toml names so.
FROM python:3.11-slim

# A compiler for torch.compile on processors; git, for the commit; wget, by which KubeRay asks whether Ray is alive
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ray \
    && git config --system --add safe.directory /opt/rpe2d-bench
WORKDIR /opt/rpe2d-bench

# What the package needs, before the package: another commit does not install it again
ARG TORCH_INDEX=""
ARG EXTRAS="cluster emoji gpu latents photographs search"
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *(n for e in '$EXTRAS'.split() for n in p['optional-dependencies'][e]), sep='\n')" > /tmp/needs \
    && pip install --no-cache-dir --constraint constraints.txt --requirement /tmp/needs \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    && rm /tmp/needs

COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt --no-deps --editable . \
    && python -m compileall -q rpe2d_bench baselines

USER 1000
WORKDIR /home/ray
CMD ["rpe2d-bench", "--help"]
