"""Throughput and latency, as ratios to a null server in the same run (`make bench`)."""
