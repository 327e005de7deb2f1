"""The process: `streamlit run` finds `app` here and serves it. What a visitor sees is `core/view/app.py`."""

import sys

import streamlit as st

from core import api, service
from core.errors import TracecastError

try:
    service.prepare()
except TracecastError as error:
    sys.exit(f"Tracecast can't start. {error}")

app = st.App("core/view/app.py", lifespan=service.lifespan, routes=api.routes, middleware=api.middleware)
