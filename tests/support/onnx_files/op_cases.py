"""One or more small models for every operator that is read, in ONNX's own text form.

A case is `(inputs, body)` or `(inputs, body, opset)`; its output is `y`. `a := 1.5` and `a := [1, 2]`
stand for constants. A new operator needs a line here: the test over the registry fails without one.
"""

from __future__ import annotations

Case = tuple[str, str] | tuple[str, str, int]
BRANCHES = "<then_branch = g () => (a) { a = Neg(x) }, else_branch = h () => (b) { b = Relu(x) }>"

X = "float[2,3] x"
X4 = "float[2,3,6,5] x"
XY = "float[2,3] x, float[3] k"

CASES: dict[str, list[Case]] = {
    "Abs": [(X, "y = Abs(x)")],
    "Add": [(XY, "y = Add(x, k)")],
    "And": [(XY, "z := 0.1 a = Less(x, z) b = Less(k, z) y = And(a, b)")],
    "ArgMax": [
        (
            X,
            "c := [1.0, 3.0, 3.0] a = ArgMax<axis = 0, keepdims = 0>(c) y = Gather<axis = 1>(x, a)",
        )
    ],
    "ArgMin": [
        (
            X,
            "c := [1.0, 3.0, 1.0] a = ArgMin<axis = 0, select_last_index = 1>(c) y = Gather<axis = 1>(x, a)",
        )
    ],
    "AveragePool": [
        (X4, "y = AveragePool<kernel_shape = [2, 3], strides = [2, 1], pads = [1, 1, 0, 1]>(x)"),
        (X4, "y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1>(x)"),
        (X4, "y = AveragePool<kernel_shape = [3, 2], strides = [2, 2], ceil_mode = 1>(x)"),
        (X4, 'y = AveragePool<kernel_shape = [3, 3], auto_pad = "SAME_LOWER", strides = [2, 2]>(x)'),
    ],
    "BatchNormalization": [
        (
            X4,
            """
        s := [1.0, -2.0, 0.5] b := [0.0, 1.0, 2.0]
        m := [0.1, 0.2, 0.3] v := [1.0, 0.5, 2.0]
        y = BatchNormalization<epsilon = 0.01>(x, s, b, m, v)""",
        )
    ],
    "Cast": [
        ("int64[2] x", "y = Cast<to = 1>(x)"),
        (X, "y = Cast<to = 11>(x)"),
        (X, "z = Cast<to = 9>(x) y = Cast<to = 1>(z)"),
        (X, "k := 3.0 s = Mul(x, k) z = Cast<to = 6>(s) y = Cast<to = 1>(z)"),
    ],
    "CastLike": [("int64[2] x, float[2] k", "y = CastLike(x, k)")],
    "Ceil": [(X, "c := 1.3 d = Ceil(c) y = Mul(x, d)")],
    "Celu": [(X, "y = Celu<alpha = 0.7>(x)")],
    "Clip": [
        (X, "l := -0.5 h := 0.4 y = Clip(x, l, h)"),
        (X, "h := 0.4 y = Clip(x, , h)"),
        (X, "l := -0.5 y = Clip(x, l)"),
        (X, "y = Clip<min = 0.0>(x)", 8),
        (X, "y = Clip<max = 0.3, min = -0.2>(x)", 10),
    ],
    "Concat": [("float[2,3] x, float[2,1] k", "y = Concat<axis = -1>(x, k, x)")],
    "ConcatFromSequence": [
        (X, "s = SequenceConstruct(x, x) y = ConcatFromSequence<axis = 1>(s)"),
        (X, "s = SequenceConstruct(x, x) y = ConcatFromSequence<axis = 1, new_axis = 1>(s)"),
    ],
    "Constant": [(X, "c = Constant<value = float[3] {1.0, 2.0, 3.0}>() y = Add(x, c)")],
    "ConstantOfShape": [(X, "s = Shape(x) c = ConstantOfShape<value = float[1] {2.0}>(s) y = Add(x, c)")],
    "Conv": [
        (
            "float[2,4,6,5] x, float[6,2,2,3] w",
            "y = Conv<group = 2, strides = [2, 1], pads = [1, 0, 0, 1]>(x, w)",
        ),
        (
            "float[1,2,9] x, float[3,2,3] w, float[3] k",
            "y = Conv<dilations = [2], pads = [2, 2]>(x, w, k)",
        ),
        ("float[1,2,9] x, float[3,2,3] w", 'y = Conv<kernel_shape = [3], auto_pad = "VALID">(x, w)'),
        ("float[1,2,9] x, float[3,2,4] w", 'y = Conv<auto_pad = "SAME_UPPER", strides = [2]>(x, w)'),
    ],
    "Cos": [(X, "y = Cos(x)")],
    "CumSum": [
        (X, "a := 1 y = CumSum(x, a)"),
        (X, "a := 0 y = CumSum<exclusive = 1, reverse = 1>(x, a)"),
    ],
    "Div": [
        (X, "c := 3.0 y = Div(x, c)"),
        (
            X,
            "a := [-7] b := [2] q = Div(a, b) c = Cast<to = 1>(q) y = Add(x, c)",
        ),
    ],
    "Dropout": [(X, "y = Dropout(x)"), (X, "y = Dropout<ratio = 0.3>(x)", 10)],
    "Einsum": [
        ("float[2,3,4] x, float[4,5] k", 'y = Einsum<equation = "btd,dh->bth">(x, k)'),
        ("float[2,3,4] x, float[2,5,4] k", 'y = Einsum<equation = "bid,bjd->bji">(x, k)'),
        ("float[2,3,4] x", 'y = Einsum<equation = "abc->ca">(x)'),
        ("float[2,3,4] x, float[4,5] k", 'y = Einsum<equation = "...d,dh->...h">(x, k)'),
        ("float[3,4] x, float[4,5] k", 'y = Einsum<equation = "zb,ba">(x, k)'),
        ("float[3,4] x, float[3,4] k", 'y = Einsum<equation = "ij,ij->">(x, k)'),
    ],
    "Elu": [(X, "y = Elu<alpha = 0.5>(x)")],
    "Equal": [("int64[2,3] x", "c := 1 z = Equal(x, c) y = Cast<to = 1>(z)")],
    "Erf": [(X, "y = Erf(x)")],
    "Exp": [(X, "y = Exp(x)")],
    "Expand": [("float[2,1] x", "s := [3, 1, 4] y = Expand(x, s)")],
    "EyeLike": [("float[3,3] x", "e = EyeLike<k = 1>(x) y = MatMul(x, e)")],
    "Flatten": [
        (X4, "y = Flatten<axis = 2>(x)"),
        (X4, "y = Flatten<axis = -1>(x)"),
        (X4, "y = Flatten<axis = 0>(x)"),
    ],
    "Floor": [(X, "c := -1.3 d = Floor(c) y = Mul(x, d)")],
    "GRU": [],
    "Gather": [
        (X, "i := [2, -1, 0] y = Gather<axis = 1>(x, i)"),
        (X, "i := -2 y = Gather<axis = -1>(x, i)"),
        (
            "int64[2,4] x",
            "t = Constant<value = float[3,2] {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}>() y = Gather(t, x)",
        ),
    ],
    "GatherElements": [
        (X, "i = Constant<value = int64[1,3] {1, 0, -1}>() y = GatherElements<axis = 0>(x, i)")
    ],
    "GatherND": [(X, "i = Constant<value = int64[2,2] {0, 2, 1, -1}>() y = GatherND(x, i)")],
    "Gelu": [(X, "y = Gelu(x)", 20), (X, 'y = Gelu<approximate = "tanh">(x)', 20)],
    "Gemm": [
        (
            "float[4,2] x, float[3,4] w, float[3] k",
            "y = Gemm<alpha = 0.5, beta = 2.0, transA = 1, transB = 1>(x, w, k)",
        ),
        ("float[2,4] x, float[4,3] w", "y = Gemm(x, w)"),
    ],
    "GlobalAveragePool": [(X4, "y = GlobalAveragePool(x)")],
    "GlobalMaxPool": [(X4, "y = GlobalMaxPool(x)")],
    "Greater": [(XY, "z = Greater(x, k) y = Cast<to = 1>(z)")],
    "GreaterOrEqual": [(XY, "z = GreaterOrEqual(x, k) y = Cast<to = 1>(z)")],
    "GroupNormalization": [
        ("float[2,4,5] x, float[4] s, float[4] k", "y = GroupNormalization<num_groups = 2>(x, s, k)", 21),
        ("float[2,4,5] x, float[2] s, float[2] k", "y = GroupNormalization<num_groups = 2>(x, s, k)", 18),
    ],
    "HardSigmoid": [(X, "y = HardSigmoid<alpha = 0.3>(x)")],
    "HardSwish": [(X, "y = HardSwish(x)")],
    "Identity": [(X, "y = Identity(x)")],
    "If": [
        (
            X,
            "c = Constant<value = bool {1}>() y = If (c) " + BRANCHES,
        ),
        (
            "float[2,3] x, int64 k",
            "o := 1 c = Equal(k, o) y = If (c) " + BRANCHES,
        ),
    ],
    "InstanceNormalization": [
        ("float[2,3,5] x, float[3] s, float[3] k", "y = InstanceNormalization(x, s, k)")
    ],
    "IsNaN": [(X, "z = IsNaN(x) y = Cast<to = 1>(z)")],
    "LSTM": [],
    "LayerNormalization": [
        ("float[2,3,4] x, float[4] s, float[4] k", "y = LayerNormalization(x, s, k)"),
        ("float[2,3,4] x, float[3,4] s", "a, b, y = LayerNormalization<axis = 1>(x, s)"),
    ],
    "LeakyRelu": [(X, "y = LeakyRelu(x)"), (X, "y = LeakyRelu<alpha = 0.3>(x)")],
    "Less": [(XY, "z = Less(x, k) y = Cast<to = 1>(z)")],
    "LessOrEqual": [(XY, "z = LessOrEqual(x, k) y = Cast<to = 1>(z)")],
    "Log": [(X, "a = Exp(x) o := 1.0 b = Add(a, o) y = Log(b)")],
    "LogSoftmax": [(X, "y = LogSoftmax(x)"), (X4, "y = LogSoftmax<axis = 2>(x)", 11)],
    "Loop": [],
    "MatMul": [
        ("float[2,3,4] x, float[4,5] k", "y = MatMul(x, k)"),
        ("float[4] x, float[4] k", "y = MatMul(x, k)"),
    ],
    "Max": [(XY, "y = Max(x, k, x)")],
    "MaxPool": [
        (X4, "y = MaxPool<kernel_shape = [2, 3], strides = [2, 2], pads = [1, 1, 0, 1]>(x)"),
        (X4, "y = MaxPool<kernel_shape = [2, 2], dilations = [2, 1], ceil_mode = 1, strides = [2, 2]>(x)"),
    ],
    "Mean": [(XY, "y = Mean(x, k)")],
    "Min": [(XY, "y = Min(x, k)")],
    "Mish": [(X, "y = Mish(x)", 18)],
    "Mod": [
        (
            X,
            "a := [-7] b := [3] q = Mod(a, b) c = Cast<to = 1>(q) y = Add(x, c)",
        )
    ],
    "Mul": [(XY, "y = Mul(x, k)")],
    "Neg": [(X, "y = Neg(x)")],
    "NonZero": [
        (
            X,
            "c := [0, 3, 4] n = NonZero(c) a := [0] i = Squeeze(n, a) y = Gather<axis = 1>(x, i)",
        )
    ],
    "Not": [(XY, "a = Less(x, k) z = Not(a) y = Cast<to = 1>(z)")],
    "Or": [
        (
            XY,
            "z := 0.1 a = Less(x, z) b = Less(k, z) o = Or(a, b) y = Cast<to = 1>(o)",
        )
    ],
    "PRelu": [(XY, "y = PRelu(x, k)")],
    "Pad": [
        (X, "p := [0, 1, 1, 2] c := 0.5 y = Pad(x, p, c)"),
        (X, 'p := [1, 2, 0, 1] y = Pad<mode = "reflect">(x, p)'),
        (X, 'p := [1, 2, 0, 1] y = Pad<mode = "edge">(x, p)'),
        (X, "p := [0, -1, 1, 0] y = Pad(x, p)"),
        (X, "p := [2, 1] a := [-1] y = Pad(x, p, , a)", 18),
        (X, "y = Pad<pads = [0, 1, 0, 2], value = 1.5>(x)", 8),
    ],
    "Pow": [
        (X, "c := 2.0 y = Pow(x, c)"),
        (X, "c := 3.0 y = Pow(x, c)"),
        (X, "c = Constant<value_floats = [1.0, 2.0, 3.0]>() y = Pow(x, c)"),
        (X, "c = Constant<value_floats = [2.5, 0.3, 1.0]>() y = Pow(c, x)"),
    ],
    "RMSNormalization": [("float[2,3,4] x, float[4] s", "y = RMSNormalization(x, s)", 23)],
    "RNN": [],
    "Range": [
        (
            X,
            "a := 0 b := 3 c := 2 r = Range(a, b, c) y = Gather<axis = 1>(x, r)",
        )
    ],
    "Reciprocal": [(X, "a = Exp(x) y = Reciprocal(a)")],
    "ReduceL1": [(X, "y = ReduceL1<axes = [1]>(x)")],
    "ReduceL2": [(X, "y = ReduceL2<axes = [1], keepdims = 0>(x)")],
    "ReduceMax": [
        (X4, "y = ReduceMax<axes = [1, -1]>(x)"),
        (X4, "a := [2] y = ReduceMax<keepdims = 0>(x, a)", 18),
    ],
    "ReduceMean": [
        (X4, "y = ReduceMean<axes = [1, 3], keepdims = 0>(x)"),
        (X4, "y = ReduceMean(x)", 18),
        (X4, "y = ReduceMean<noop_with_empty_axes = 1>(x)", 18),
    ],
    "ReduceMin": [(X4, "y = ReduceMin<axes = [2]>(x)")],
    "ReduceProd": [(X4, "s = Shape(x) p = ReduceProd<keepdims = 0>(s) c = Cast<to = 1>(p) y = Div(x, c)")],
    "ReduceSum": [
        (X4, "a := [-2] y = ReduceSum<keepdims = 0>(x, a)"),
        (X4, "y = ReduceSum<axes = [0, 1]>(x)", 11),
    ],
    "ReduceSumSquare": [(X, "y = ReduceSumSquare<axes = [1]>(x)")],
    "Relu": [(X, "y = Relu(x)")],
    "Reshape": [(X4, "s := [0, -1, 5] y = Reshape(x, s)")],
    "ReverseSequence": [
        ("float[4,2,3] x", "l := [4, 2] y = ReverseSequence(x, l)"),
        (
            "float[2,4] x",
            "l := [3, 3] y = ReverseSequence<batch_axis = 0, time_axis = 1>(x, l)",
        ),
    ],
    "Scan": [],
    "Selu": [(X, "y = Selu(x)")],
    "SequenceAt": [(X, "s = SequenceConstruct(x, x) i := -1 y = SequenceAt(s, i)")],
    "SequenceConstruct": [(X, "n = Neg(x) s = SequenceConstruct(x, n) i := 1 y = SequenceAt(s, i)")],
    "SequenceEmpty": [
        (X, "e = SequenceEmpty() s = SequenceInsert(e, x) y = ConcatFromSequence<axis = 0>(s)")
    ],
    "SequenceErase": [
        (
            X,
            "n = Neg(x) s = SequenceConstruct(x, n) z := 0 t = SequenceErase(s, z) y = SequenceAt(t, z)",
        )
    ],
    "SequenceInsert": [
        (
            X,
            "n = Neg(x) s = SequenceConstruct(x) z := 0 t = SequenceInsert(s, n, z) "
            "y = ConcatFromSequence<axis = 0>(t)",
        )
    ],
    "SequenceLength": [
        (X, "s = SequenceConstruct(x, x) l = SequenceLength(s) c = Cast<to = 1>(l) y = Mul(x, c)")
    ],
    "Shape": [
        (
            X4,
            "s = Shape<start = -2>(x) c = Cast<to = 1>(s) r = ReduceSum<keepdims = 0>(x) y = Mul(r, c)",
        )
    ],
    "Sigmoid": [(X, "y = Sigmoid(x)")],
    "Sign": [(X, "c := -1.3 d = Sign(c) y = Mul(x, d)")],
    "Sin": [(X, "y = Sin(x)")],
    "Size": [(X, "s = Size(x) c = Cast<to = 1>(s) y = Div(x, c)")],
    "Slice": [
        (
            X4,
            "s := [1, -4] e := [3, 99] a := [1, 2] t := [1, 2] y = Slice(x, s, e, a, t)",
        ),
        (
            X4,
            "s := [-1] e := [-99] a := [3] t := [-2] y = Slice(x, s, e, a, t)",
        ),
        (X4, "y = Slice<starts = [1], ends = [-1], axes = [2]>(x)", 9),
    ],
    "Softmax": [
        (X, "y = Softmax(x)"),
        (X4, "y = Softmax<axis = 1>(x)"),
        (X4, "y = Softmax<axis = 1>(x)", 11),
    ],
    "Softplus": [(X, "y = Softplus(x)")],
    "Softsign": [(X, "y = Softsign(x)")],
    "Split": [
        (X4, "s := [1, 2] a, y = Split<axis = 1>(x, s)"),
        (X4, "a, b, y = Split<axis = 2>(x)"),
        (X4, "a, y = Split<axis = 3, num_outputs = 2>(x)", 18),
        (X4, "a, y = Split<axis = 2, split = [2, 4]>(x)", 11),
    ],
    "SplitToSequence": [
        (
            X4,
            "s = SplitToSequence<axis = 2, keepdims = 0>(x) i := 3 y = SequenceAt(s, i)",
        ),
        (
            X4,
            "p := 4 s = SplitToSequence<axis = 2>(x, p) i := 1 y = SequenceAt(s, i)",
        ),
        (
            X4,
            "p := [2, 4] s = SplitToSequence<axis = 2>(x, p) i := 1 y = SequenceAt(s, i)",
        ),
    ],
    "Sqrt": [(X, "a = Exp(x) y = Sqrt(a)")],
    "Squeeze": [
        ("float[2,1,3,1] x", "a := [-1] y = Squeeze(x, a)"),
        ("float[2,1,3,1] x", "y = Squeeze(x)"),
        ("float[2,1,3,1] x", "y = Squeeze<axes = [1]>(x)", 11),
    ],
    "Sub": [(XY, "y = Sub(k, x)")],
    "Sum": [(XY, "y = Sum(x, k, x)")],
    "Swish": [(X, "y = Swish<alpha = 0.7>(x)", 24)],
    "Tanh": [(X, "y = Tanh(x)")],
    "ThresholdedRelu": [(X, "y = ThresholdedRelu<alpha = 0.4>(x)")],
    "Tile": [(X, "r := [2, 3] y = Tile(x, r)")],
    "Transpose": [(X4, "y = Transpose<perm = [2, 0, 3, 1]>(x)"), (X4, "y = Transpose(x)")],
    "Unsqueeze": [
        (X, "a := [0, -1] y = Unsqueeze(x, a)"),
        (X, "y = Unsqueeze<axes = [1, 3]>(x)", 11),
    ],
    "Where": [
        (XY, "z = Less(x, k) y = Where(z, x, k)"),
        (X, "c = Constant<value = bool[3] {1, 0, 1}>() n = Neg(x) y = Where(c, x, n)"),
    ],
    "Xor": [
        (
            X,
            "a = Constant<value = bool[3] {1, 0, 1}>() b = Constant<value = bool[3] {1, 1, 0}>() "
            "c = Xor(a, b) n = Neg(x) y = Where(c, x, n)",
        )
    ],
}
