# One image for the three processes of the Procfile; the command chooses which.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=5000

WORKDIR /srv

# Before the code, so that a change of code does not install everything again.
COPY requirements/runtime.txt requirements/runtime.txt
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/runtime.txt

COPY registry registry
COPY app app
COPY workers workers
RUN python -m compileall -q registry app workers \
    && useradd --system --uid 10001 --no-create-home gateway

USER gateway
EXPOSE 5000
CMD ["python", "-m", "app"]
