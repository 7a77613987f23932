"""What a traced program computes."""

from jax.extend.core import jaxprs_in_params


def operand_types(jaxpr, *primitives):
    """Yield the types of the operands of these primitives, also in inner jaxprs."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in primitives:
            yield from (str(v.aval.dtype) for v in equation.invars)
        for inner in jaxprs_in_params(equation.params):
            yield from operand_types(inner, *primitives)
