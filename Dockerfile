FROM python:3.11-slim

# Nothing is compiled: every requirement comes as a wheel.
WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --only-binary=:all: --requirement requirements.txt

COPY streamlit_app.py ./
COPY .streamlit/config.toml .streamlit/config.toml
COPY core core
COPY pages pages

RUN useradd --system --create-home --uid 10001 tracecast \
    && install --directory --owner=tracecast --group=tracecast /data
USER 10001

ENV STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_PORT=8501 \
    TRACECAST_HOME=/data \
    TRACECAST_UDP_ADDRESS=0.0.0.0:2000 \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8501 2000/udp 2000/tcp

HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]

CMD ["streamlit", "run", "streamlit_app.py"]
