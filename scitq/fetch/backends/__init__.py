"""One file per kind of storage; `scitq.fetch.uri.BACKENDS` lists them."""
