"""Numbers about records: results, intervals, significance, ranking."""
