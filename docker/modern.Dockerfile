# web, worker and brain: Python 3.11, installed from the hashed lock; nothing is fetched at run time.
FROM node:20-bookworm-slim AS front-end
WORKDIR /app/channels/base/widget
COPY channels/base/widget/package.json channels/base/widget/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY channels/base/widget/ ./
RUN npm run build

FROM python:3.11-slim-bookworm AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python -m venv .venv
COPY requirements.lock requirements-torch.txt ./
RUN .venv/bin/pip install --no-deps --require-hashes -r requirements.lock
# To take the CPU build of torch, name PyTorch's CPU index in TORCH_INDEX.
ARG TORCH_INDEX=""
RUN .venv/bin/pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements-torch.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot/ bot/
COPY channels/ channels/
COPY contact_hub/ contact_hub/
RUN .venv/bin/pip install --no-deps --no-build-isolation --editable . \
 # What only development needs stays out of the image.
 && .venv/bin/pip uninstall --yes --quiet deptry hypothesis import-linter mypy playwright pre-commit pytest \
      pytest-asyncio pytest-timeout python-docx ruff time-machine types-PyYAML uv

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin civicline \
 && install --directory --owner=civicline --mode=0700 /data
WORKDIR /app
COPY --from=packages /app/ ./
COPY --from=front-end /app/channels/base/widget/dist/ channels/base/widget/dist/
COPY --from=front-end /app/contact_hub/web/static/vendor/ contact_hub/web/static/vendor/
COPY nlu_data/ nlu_data/
COPY docker/healthy.py docker/
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 CIVICLINE_DATA=/data CIVICLINE_CITY=/app/nlu_data \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
USER civicline
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["civicline"]
CMD ["web"]
