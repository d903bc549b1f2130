"""The main job on real data: export two models, serve them, ask, observe (`make demo`)."""
