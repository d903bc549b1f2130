"""Queue, model, gate, waiters: how requests are batched and answered. Batching, shedding, circuit and patience are pure."""
