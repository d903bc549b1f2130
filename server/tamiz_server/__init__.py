"""The server: bundles from disk, batched, gated row by row, over gRPC, with metrics for Prometheus."""
