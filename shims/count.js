// A number of a plan that is known when its symbols are: ceil(the product of sums / divisor), at least
// 0. Twin: Count in plan/plan.py.

/** @typedef {[factors: [terms: Record<string, number>, constant: number][], divisor: number]} Count */

/** @param {Count} count @param {Record<string, number>} bindings */
export function value([factors, divisor], bindings) {
  let total = 1;
  for (const [terms, constant] of factors) {
    let sum = constant;
    for (const name in terms) sum += terms[name] * bindings[name];
    total *= sum;
  }
  return Math.max(0, Math.ceil(total / divisor));
}
