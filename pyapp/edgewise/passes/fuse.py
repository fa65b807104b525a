"""Joins operators that one kernel does in one go. One function a rule, each with its reasons.

A rule notes "did …" for what it joined and "declined because …" where its pattern stands but
joining would change the result or a kernel could not do it. Joining is exact in float32; in
float16 it leaves out the roundings between the parts.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph.graph import Attr, Graph, Node
from .base import PassResult
from .rewrite import Rewriter

# places in quantizedMatmul's inputs
X, CODES, SCALE, MINIMUM, NORM, RESIDUAL = range(6)


def fuse(graph: Graph) -> PassResult:
    """Run all rules once, in an order in which none undoes another's pattern."""
    work = Rewriter(graph)
    for rule in (norm_into_matmul, residual_into_matmul, swiglu_of_matmuls, qkv_of_attention):
        rule(work)
    return PassResult(work.result(), work.changed, tuple(work.notes))


def norm_into_matmul(work: Rewriter) -> None:
    """A norm moves into the quantised matmuls that read it, if nothing else does.

    h = rmsNorm(x, w) {eps};  y = quantizedMatmul(h, c, s, m, _, _)
    ->
    y = quantizedMatmul(x, c, s, m, w, _) {eps}
    """
    rule = "norm into matmul"
    for position, norm in work.positions("rmsNorm"):
        name = norm.outputs[0]
        users = work.users(name)
        if not any(user.op == "quantizedMatmul" for user in users):
            continue
        if name in work.results:
            work.declined(rule, norm, f"{name!r} is a result of the graph")
            continue
        others = [user for user in users if not _takes_norm(user, name)]
        if others:
            work.declined(rule, norm, f"{others[0].op} {others[0].outputs[0]!r} reads it too")
            continue
        if work.reads_state(norm):
            work.declined(rule, norm, "it reads a state")
            continue
        for user in users:
            inputs = (norm.inputs[0], *user.inputs[1:NORM], norm.inputs[1], user.inputs[RESIDUAL])
            attrs = {**user.attrs, "eps": norm.attrs["eps"]}
            work.replace(work.position(user), replace(user, inputs=inputs, attrs=attrs))
        work.remove(position)
        work.did(rule, norm, f"join rmsNorm with {len(users)} quantizedMatmul")


def _takes_norm(user: Node, name: str) -> bool:
    """Whether `user` is a matmul that reads `name` as its x alone and has no norm yet."""
    only_x = user.op == "quantizedMatmul" and user.inputs.count(name) == 1
    return only_x and user.inputs[X] == name and user.inputs[NORM] is None


def residual_into_matmul(work: Rewriter) -> None:
    """A sum with the result of a quantised matmul becomes its residual.

    y = quantizedMatmul(x, c, s, m, n, _);  z = add(r, y)
    ->
    z = quantizedMatmul(x, c, s, m, n, r)
    """
    rule = "residual into matmul"
    for position, add in work.positions("add"):
        for index in (1, 0):
            name, other = add.inputs[index], add.inputs[1 - index]
            matmul = work.made_by(name, "quantizedMatmul")
            if matmul is None or name is None or other is None:
                continue
            reason = _residual_declined(work, matmul, name, other)
            if reason:
                work.declined(rule, add, reason)
                continue
            inputs = (*matmul.inputs[:RESIDUAL], other)
            node = replace(add, op=matmul.op, inputs=inputs, attrs=matmul.attrs)
            work.replace(position, node, gone=[matmul])
            work.did(rule, add, "join quantizedMatmul and add")
            break


def _residual_declined(work: Rewriter, matmul: Node, name: str, other: str) -> str | None:
    if matmul.inputs[RESIDUAL] is not None:
        return f"{name!r} has a residual already"
    if not work.private(name) or other == name:
        return f"{name!r} has other users"
    if work.value(other).shape != work.value(name).shape:
        return f"{other!r} is broadcast"
    return "it reads a state" if work.reads_state(matmul) else None


def swiglu_of_matmuls(work: Rewriter) -> None:
    """SwiGLU over two quantised matmuls of the same x becomes one operator.

    g = quantizedMatmul(x, …, n, _);  u = quantizedMatmul(x, …, n, _);  y = swiglu(g, u)
    ->
    y = quantizedSwiglu(x, gate…, up…, n)
    """
    rule = "swiglu of matmuls"
    for position, swiglu in work.positions("swiglu"):
        parts = [work.made_by(name, "quantizedMatmul") for name in swiglu.inputs]
        gate, up = parts
        if gate is None or up is None:
            continue
        reason = _unlike(work, [gate, up])
        if reason is None and work.value(gate.outputs[0]).shape != work.value(up.outputs[0]).shape:
            reason = "gate and up differ in shape"
        if reason:
            work.declined(rule, swiglu, reason)
            continue
        inputs = (gate.inputs[X], *gate.inputs[CODES:NORM], *up.inputs[CODES:NORM],
                  gate.inputs[NORM])  # fmt: skip
        node = replace(swiglu, op="quantizedSwiglu", inputs=inputs, attrs=gate.attrs)
        work.replace(position, node, gone=[gate, up])
        work.did(rule, swiglu, "join gate, up and swiglu")


def _unlike(work: Rewriter, matmuls: list[Node]) -> str | None:
    """Why one kernel cannot compute all `matmuls` of one x, or None."""
    first = matmuls[0]
    for matmul in matmuls:
        name = matmul.outputs[0]
        if not work.private(name):
            return f"{name!r} has other users"
        if matmul.inputs[RESIDUAL] is not None:
            return f"{name!r} has a residual"
        if (matmul.inputs[X], matmul.inputs[NORM]) != (first.inputs[X], first.inputs[NORM]):
            return f"{name!r} has another x or norm than {first.outputs[0]!r}"
        if matmul.attrs != first.attrs:
            return f"{name!r} has other attributes than {first.outputs[0]!r}"
        if work.reads_state(matmul):
            return f"{name!r} reads a state"
        if _block(work, matmul) != _block(work, first):
            return f"block types differ: {_block(work, first)} and {_block(work, matmul)}"
    return None


def _block(work: Rewriter, matmul: Node) -> str:
    """What a kernel must know of a weight's form: code type, group, scale type, minimum."""
    codes, scale, minimum = matmul.inputs[CODES:NORM]
    assert codes is not None, f"{matmul=}"
    assert scale is not None, f"{matmul=}"
    width, groups = work.value(codes).shape[1], work.value(scale).shape[1]
    assert isinstance(width, int), f"{width=}"
    assert isinstance(groups, int), f"{groups=}"
    form = f"{work.value(codes).dtype} by {width // groups} with {work.value(scale).dtype} scale"
    return form if minimum is None else f"{form} and minimum"


def qkv_of_attention(work: Rewriter) -> None:
    """The three projections before an attention, with rotation and KV update, become one operator.

    q = rotary(reshape(quantizedMatmul(x, …)))
    k = kvUpdate(k_state, rotary(reshape(quantizedMatmul(x, …))))
    v = kvUpdate(v_state, reshape(quantizedMatmul(x, …)))
    y = attention(q, k, v)
    ->
    q, k, v = quantizedQkv(x, q…, k…, v…, n, k_state, v_state)
    y = attention(q, k, v)
    """
    rule = "qkv of attention"
    for _, attention in work.positions("attention"):
        updates = [work.made_by(name, "kvUpdate") for name in attention.inputs[1:]]
        k_update, v_update = updates
        q_turn = work.made_by(attention.inputs[0], "rotary")
        if q_turn is None or k_update is None or v_update is None:
            continue
        k_turn = work.made_by(k_update.inputs[1], "rotary")
        heads = [q_turn.inputs[0], k_turn.inputs[0] if k_turn else None, v_update.inputs[1]]
        splits = [work.made_by(name, "reshape") for name in heads]
        matmuls = [work.made_by(each.inputs[0], "quantizedMatmul") for each in splits if each]
        if k_turn is None or len(matmuls) < 3 or None in matmuls:
            continue
        chain = [q_turn, k_turn, *(each for each in splits if each)]
        projections = [each for each in matmuls if each]
        reason = _qkv_declined(work, chain, projections, [k_update, v_update])
        if reason:
            work.declined(rule, attention, reason)
            continue
        _join_qkv(work, chain, projections, k_update, v_update)
        work.did(rule, attention, "join q, k and v with rotary and kvUpdate")


def _qkv_declined(
    work: Rewriter, chain: list[Node], matmuls: list[Node], updates: list[Node]
) -> str | None:
    q_turn, k_turn, *splits = chain
    if q_turn.attrs != k_turn.attrs:
        return "q and k are rotated differently"
    if any(update.attrs["start"] != q_turn.attrs["start"] for update in updates):
        return "rotation and state start at different rows"
    for node in (k_turn, *splits):
        if not work.private(node.outputs[0]):
            return f"{node.outputs[0]!r} has other users"
    if len({work.value(node.outputs[0]).shape[-1] for node in splits}) > 1:
        return "head sizes differ"
    if work.value(k_turn.outputs[0]).shape != work.value(splits[2].outputs[0]).shape:
        return "k and v differ in shape"
    last = max(work.position(node) for node in (q_turn, *updates))
    for node in (q_turn, *updates):
        name = node.outputs[0]
        early = [user for user in work.users(name) if work.position(user) < last]
        if early:
            return f"{early[0].outputs[0]!r} reads {name!r} before all three are there"
    return _unlike(work, matmuls)


def _join_qkv(
    work: Rewriter, chain: list[Node], matmuls: list[Node], k_update: Node, v_update: Node
) -> None:
    q_turn, k_turn, *splits = chain
    first = matmuls[0]
    weights = [name for matmul in matmuls for name in matmul.inputs[CODES:NORM]]
    states = (k_update.inputs[0], v_update.inputs[0])
    attrs: dict[str, Attr] = {
        "heads": _heads(work, splits[0]), "kv_heads": _heads(work, splits[1]), **q_turn.attrs,
        **first.attrs,
    }  # fmt: skip
    outputs = (q_turn.outputs[0], k_update.outputs[0], v_update.outputs[0])
    inputs = (first.inputs[X], *weights, first.inputs[NORM], *states)
    node = Node("quantizedQkv", inputs, outputs, attrs, q_turn.origin)
    last = max(work.position(each) for each in (q_turn, k_update, v_update))
    gone = [*matmuls, *splits, q_turn, k_turn, k_update, v_update]
    work.replace(last, node, [each for each in gone if work.position(each) != last])


def _heads(work: Rewriter, split: Node) -> int:
    heads = work.value(split.outputs[0]).shape[1]
    assert isinstance(heads, int), f"{split=}"
    return heads
