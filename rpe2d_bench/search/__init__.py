"""The search before a comparison: every entry's options get the same number of trials, on validation images only.

A trial is a training (of a model entry) or an evaluation (of a method on the model as chosen), made of the same
content-addressed stages as the comparison. What an entry's search found is a stage too, so that it is found once.
"""

from rpe2d_bench.search.state import Asked, Searching

__all__ = ["Asked", "Searching"]
