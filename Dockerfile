# One image for the three processes of the Procfile; the command chooses which.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=5000 \
    RECEIPTS_DIR=/var/lib/imagegw/receipts

WORKDIR /srv

# Before the code, so that a change of code does not install everything again.
COPY pyproject.toml uv.lock scripts/uv.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r uv.txt \
    && UV_PROJECT_ENVIRONMENT=/usr/local UV_PYTHON_DOWNLOADS=never \
       uv sync --frozen --no-install-project --inexact --no-cache --compile-bytecode

COPY registry registry
COPY app app
COPY workers workers
RUN python -m compileall -q registry app workers \
    && useradd --system --uid 10001 --no-create-home gateway \
    && install -d -o gateway -m 700 /var/lib/imagegw/receipts

USER gateway
EXPOSE 5000
CMD ["python", "-m", "app"]
