"""The only operators a graph document may name, from our own constants to torch's overloads.

What is not here is refused. Left out on purpose: whatever reads uninitialised memory (`empty*`, `resize_`), views past
a tensor's end (`as_strided`, `set_`), touches files or the network (`from_file`, `c10d`), reads values back into Python
(`item`), or has an output size that depends on values (`nonzero`, `unique`, `masked_select`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch

from shoal.learn.guards import guarded

_ATEN = """
__and__.Tensor __or__.Tensor __xor__.Tensor abs adaptive_avg_pool1d adaptive_avg_pool2d
adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d add.Scalar add.Tensor add_.Scalar add_.Tensor addbmm
addcmul addmm addmv addr alias all all.dim alpha_dropout amax amin any any.dim arange arange.start arange.start_step
argmax argmin atan atan2 avg_pool1d avg_pool2d avg_pool3d baddbmm batch_norm bernoulli bernoulli.p bilinear
bitwise_and.Tensor bitwise_not bitwise_or.Tensor bitwise_xor.Tensor bmm broadcast_to cat cdist ceil celu
channel_shuffle chunk clamp clamp.Tensor clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clone concat contiguous
conv1d conv1d.padding conv2d conv2d.padding conv3d conv3d.padding conv_transpose1d conv_transpose2d.input
conv_transpose3d.input copy_ cos cosh cosine_similarity cumprod cumsum detach detach_ diag diag_embed diagonal diff
div.Scalar div.Tensor div.Tensor_mode div_.Scalar div_.Tensor dot dropout dropout_ einsum elu elu_ embedding eq.Scalar
eq.Tensor erf erfc exp exp2 expand expand_as expm1 eye feature_alpha_dropout feature_dropout fill_.Scalar
flatten.using_ints flip floor floor_divide frac full full_like gather ge.Scalar ge.Tensor gelu glu group_norm
gru.input gt.Scalar gt.Tensor hardshrink hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ hstack
index.Tensor index_add index_put index_select instance_norm isfinite isinf isnan layer_norm le.Scalar le.Tensor
leaky_relu leaky_relu_ lerp.Scalar lerp.Tensor lift_fresh_copy linalg_vector_norm linear linspace log log10 log1p log2
log_sigmoid log_softmax.int logical_and logical_not logical_or logical_xor logit logsumexp lstm.input lt.Scalar
lt.Tensor mT masked_fill.Scalar masked_fill.Tensor masked_fill_.Scalar masked_fill_.Tensor matmul max max.dim
max_pool1d max_pool2d max_pool3d maximum mean mean.dim meshgrid.indexing min min.dim minimum mish mish_ mm movedim.int
mul.Scalar mul.Tensor mul_.Scalar mul_.Tensor mv nan_to_num narrow ne.Scalar ne.Tensor neg new_full new_ones new_zeros
norm.ScalarOpt_dim numpy_T one_hot ones ones_like outer pad permute pixel_shuffle pixel_unshuffle pow.Scalar
pow.Tensor_Scalar pow.Tensor_Tensor pow_.Scalar prelu prod prod.dim_int rand rand_like randn randn_like ravel
reciprocal relu relu6 relu_ remainder.Scalar remainder.Tensor repeat repeat_interleave.self_int reshape rms_norm
rnn_relu.input rnn_tanh.input roll rot90 round rrelu rsqrt rsub.Scalar rsub.Tensor scalar_tensor
scaled_dot_product_attention scatter.src scatter.value scatter_add select.int selu selu_ sgn sigmoid sigmoid_ sign
silu silu_ sin sinh slice.Tensor softmax.int softplus softshrink sort split.Tensor split_with_sizes sqrt square
squeeze squeeze.dim squeeze.dims stack std.correction std.dim sub.Scalar sub.Tensor sub_.Scalar sub_.Tensor sum
sum.dim_IntList sym_numel sym_size.int t tan tanh tanh_ threshold tile to.device to.dtype to.dtype_layout to.other
topk trace transpose.int tril triu trunc type_as unbind.int unflatten.int unfold unsqueeze unsqueeze_
upsample_bilinear2d.vec upsample_nearest1d.vec upsample_nearest2d.vec var.correction var.dim view view_as vstack
where.Scalar where.ScalarOther where.ScalarSelf where.self zero_ zeros zeros_like
"""

_WHOLE_BITS = 63


def _on_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Sizes of dynamic batches are computed in Python; a list or text repeated 10^12 times must not be."""

    def checked(*args: Any) -> Any:
        if not all(isinstance(arg, int | float) for arg in args):
            raise TypeError("takes plain numbers")
        result = function(*args)
        if isinstance(result, int) and result.bit_length() > _WHOLE_BITS:
            raise OverflowError("is beyond 63 bits")
        return result

    return checked


def _getitem(sequence: Any, index: Any) -> Any:
    """One of several results, such as those of `split`."""
    if not isinstance(sequence, list | tuple) or not isinstance(index, int):
        raise TypeError("takes one of several results by its number")
    return sequence[index]


SCALAR: dict[str, Callable[..., Any]] = {
    "py.getitem": _getitem,
    **{
        f"py.{function.__name__}": _on_numbers(function)
        for function in (
            operator.add,
            operator.eq,
            operator.floordiv,
            operator.ge,
            operator.gt,
            operator.le,
            operator.lt,
            operator.mod,
            operator.mul,
            operator.ne,
            operator.neg,
            operator.sub,
            operator.truediv,
        )
    },
}
"""Python's own arithmetic on sizes; none of these takes keywords or has an effect."""


def _overload(name: str) -> torch._ops.OpOverload:
    packet, _, overload = name.partition(".")
    found = getattr(getattr(torch.ops.aten, packet), overload or "default")
    assert isinstance(found, torch._ops.OpOverload)
    return found


ATEN: dict[str, torch._ops.OpOverload] = {str(found): found for found in map(_overload, _ATEN.split())}
"""By the name torch prints, such as `aten.add.Tensor`."""

NAMES = frozenset(ATEN) | frozenset(SCALAR)

_KINDS = {"ScalarType": "dtype", "MemoryFormat": "memory", "Layout": "layout", "Device": "device"}


def _kind(argument: torch._C.Argument) -> str | None:
    name = str(argument.real_type).removeprefix("Optional[").removesuffix("]")
    return _KINDS.get(name)


ARGUMENTS: dict[str, dict[str, str | None]] = {
    name: {argument.name: _kind(argument) for argument in found._schema.arguments} for name, found in ATEN.items()
}
"""The arguments of each operator in order, and for those that take a dtype, memory format, layout or device, which.

torch also takes plain integers there, and crashes on ones that name no dtype: documents must not be able to.
"""


def function(name: str) -> Callable[..., Any]:
    """The function of a name in `NAMES`."""
    scalar = SCALAR.get(name)
    return guarded(name, ATEN[name]) if scalar is None else scalar
