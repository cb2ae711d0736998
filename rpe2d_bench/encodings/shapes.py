"""Shapes in annotations: jaxtyping's where it is installed; beside torch alone an annotation is the tensor's type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Float"]

if TYPE_CHECKING:
    from jaxtyping import Float
else:
    try:
        from jaxtyping import Float
    except ModuleNotFoundError:

        class Float:
            """`Float[Tensor, "B N"]` is Tensor."""

            def __class_getitem__(cls, annotated: tuple[Any, str]) -> Any:
                return annotated[0]
