"""Queue, model, gate, waiters: how requests are batched and answered.

Batching, shedding, circuit and patience are pure policy: no clock, no thread, no socket.
"""
