# One image for web, feed and migrate; docker-compose.yml says which command each runs.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements.txt .
RUN pip wheel --no-cache-dir --wheel-dir wheels -r requirements.txt

FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DJANGO_SETTINGS_MODULE=config.settings.production
RUN useradd --system --home-dir /app --shell /usr/sbin/nologin app
WORKDIR /app
COPY requirements.txt .
RUN --mount=type=bind,from=build,source=/build/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels -r requirements.txt
COPY . .
# Collecting static files reads the settings but connects to nothing.
RUN SECRET_KEY=build ALLOWED_HOSTS=build DATABASE_URL=sqlite:////tmp/build REDIS_URL=redis://build \
    python manage.py collectstatic --noinput && python -m compileall -q assets config portfolio realtime
USER app
EXPOSE 8000
HEALTHCHECK --start-period=20s --interval=15s --timeout=5s CMD ["python", "-m", "config.http", "http://127.0.0.1:8000/healthz"]
# `serve` is uvicorn on config.asgi:application with a listening socket that frees stalled readers.
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--port", "8000", "--drain", "10"]
