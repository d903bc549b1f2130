"""What can be seen: metrics, access log, logs, traces."""
