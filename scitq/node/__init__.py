"""The worker: stage, run, upload, report."""
