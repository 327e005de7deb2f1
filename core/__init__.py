"""Tracecast: when will the latency of a traced service cross the line, and how sure is that."""
