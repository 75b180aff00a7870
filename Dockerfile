# restore on the CPU, with the bundled weights. docs/batches.md has the commands.
FROM python:3.12-slim

# A package index with CPU builds of torch saves gigabytes on x86. Empty: the usual index.
ARG TORCH_INDEX=""

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY restore restore
COPY weights weights
RUN if [ -n "$TORCH_INDEX" ]; then PIP_INDEX_URL="$TORCH_INDEX" pip install --no-cache-dir -c constraints.txt torch; fi
RUN pip install --no-cache-dir -c constraints.txt . && rm -rf /src

RUN useradd --create-home restore
USER restore
# Also for `docker run --user`, whose user has no home folder.
ENV HOME=/tmp
VOLUME /data
WORKDIR /data
ENTRYPOINT ["restore"]
CMD ["--help"]
