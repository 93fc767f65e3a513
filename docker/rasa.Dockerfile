# The assistant: Rasa on Python 3.10, in an environment of its own from bot/assistant/uv.lock.
FROM python:3.10-slim-bookworm AS packages
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never PIP_NO_CACHE_DIR=1
WORKDIR /app/bot/assistant
COPY requirements.lock /tmp/
# uv in the version and with the hashes of the other environment's lock.
RUN awk '/^uv==/ {found = 1} found {print} found && !/\\$/ {exit}' /tmp/requirements.lock > /tmp/uv.txt \
 && pip install --no-deps --require-hashes -r /tmp/uv.txt
COPY bot/assistant/pyproject.toml bot/assistant/uv.lock ./
COPY bot/assistant/standin/ standin/
RUN uv sync --frozen --no-progress

FROM python:3.10-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin civicline \
 && install --directory --owner=civicline --mode=0700 /data
WORKDIR /app/bot/assistant
COPY --from=packages /app/bot/assistant/ ./
COPY bot/assistant/ ./
COPY nlu_data/ /app/nlu_data/
COPY docker/healthy.py /app/docker/
ENV PATH=/app/bot/assistant/.venv/bin:$PATH PYTHONUNBUFFERED=1 CIVICLINE_DATA=/data CIVICLINE_CITY=/app/nlu_data \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 MPLCONFIGDIR=/tmp
USER civicline
VOLUME /data
EXPOSE 8702
STOPSIGNAL SIGTERM
# Trains into the volume when the words, the configuration or the embedding model changed.
CMD ["sh", "-c", "python train.py && exec python server.py"]
