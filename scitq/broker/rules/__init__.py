"""The rules, by who is spoken of: submits, tasks, batches, workers, their reports; and reads."""
