"""What a traced program computes."""

from jax.extend.core import jaxprs_in_params


def operand_types(jaxpr, *primitives):
    """Yield the types of the operands of these primitives, also in inner jaxprs."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in primitives:
            yield from (str(v.aval.dtype) for v in equation.invars)
        for inner in jaxprs_in_params(equation.params):
            yield from operand_types(inner, *primitives)


def count_calls(jaxpr, *primitives):
    """Return how often these primitives are computed, each step of a scan counted."""
    total = 0
    for equation in jaxpr.eqns:
        total += equation.primitive.name in primitives
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        for inner in jaxprs_in_params(equation.params):
            total += times * count_calls(inner, *primitives)
    return total
