"""Resources: fetched once for all tasks of a worker, shared by hard links, kept while there is room."""
