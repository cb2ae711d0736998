"""What every encoding and rule must satisfy to enter a table."""

from rpe2d_bench.encodings.conformance.suite import Finding, check

__all__ = ["Finding", "check"]
