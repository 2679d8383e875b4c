"""The ML engine: models as graph documents, training of chunks, aggregation of updates."""
