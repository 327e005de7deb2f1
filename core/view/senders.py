"""How to send one's own traces: the lines of code that do it, with the addresses of this very process."""

from urllib.parse import urlsplit

import streamlit as st

from core import queries, settings

__all__ = ["FIRST_POLL", "boto3_lines", "import_line", "otlp_lines", "sdk_lines"]

FIRST_POLL = (
    "They then show as the source `live`, within seconds. An application that was started before Tracecast asks for "
    "its sampling rules again only after 5 minutes, and until then traces one request a second and 5 % of the rest: "
    "start it again, or wait."
)


def sdk_lines() -> str:
    """What makes an application that is traced with an X-Ray SDK send here."""
    return f"export AWS_XRAY_DAEMON_ADDRESS={_address()}"


def boto3_lines() -> str:
    """A segment document by HTTP, as to AWS; where a token is set it is the access key's id."""
    key = "<TRACECAST_API_TOKEN>" if settings.current().api_token else "any"
    return (
        f'xray = boto3.client("xray", endpoint_url="{_page()}", region_name="us-east-1",\n'
        f'                    aws_access_key_id="{key}", aws_secret_access_key="any")\n'
        "xray.put_trace_segments(TraceSegmentDocuments=[json.dumps(segment)])"
    )


def otlp_lines() -> str:
    """What makes an application that is traced with an OpenTelemetry SDK send here."""
    lines = [
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={_page()}",
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    ]
    if settings.current().api_token:
        lines.append('export OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20<TRACECAST_API_TOKEN>"')
    return "\n".join(lines)


def import_line() -> str:
    """What sends a file of any size here."""
    token = '-H "Authorization: Bearer <TRACECAST_API_TOKEN>" ' if settings.current().api_token else ""
    return f'curl {token}--data-binary @traces.json.gz "{_page()}/api/v1/import?name=traces"'


def _page() -> str:
    """Scheme, host and port of the app, as this visitor has it."""
    page = urlsplit(st.context.url or f"http://127.0.0.1:{settings.current().server_port}")
    return f"{page.scheme}://{page.netloc}"


def _address() -> str:
    """Host and port of the collector."""
    address = queries.status()["components"].get("collector", {}).get("address")
    told = settings.current()
    return str(address or f"{told.udp_host}:{told.udp_port}")
