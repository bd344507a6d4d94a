"""One file per kind of storage; `scitq.fetch.uri.SCHEMES` lists them."""
