"""The model repository on disk, and which of its versions are served."""
