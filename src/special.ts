/**
 * Special functions as chains of multiplications and additions: polynomials that hold on a stated interval. Outside of it
 * the result is meaningless: a program has no branches that could reduce the argument.
 *
 * @example
 * ```ts
 * import { input, special } from "../mod.ts";
 *
 * const y = special.erfc(input([1, 64]));
 * ```
 *
 * @module
 */

import { checkInteger } from "./graph/check.ts";
import type { Tensor } from "./graph/tensor.ts";

/** Horner's rule, coefficients from the highest power down. */
function polynomial(x: Tensor, coefficients: readonly number[]): Tensor {
  const [first, second, ...rest] = coefficients as [number, number, ...number[]];
  return rest.reduce((sum, c) => sum.mul(x).adds(c), x.muls(first).adds(second));
}

/** Coefficients from the lowest power up, of x^2. */
const SIN = [1, -0.1666589028907664, 0.008315949363584022, -0.0001860843359648393];
const COS = [1, -0.4999308182201791, 0.041511585587052556, -0.0012786608784929124];

/** Abramowitz and Stegun 7.1.26: erfc(x) = t (a1 + a2 t + ..) exp(-x^2), t = 1 / (1 + p x); lowest power first. */
const ERFC_P = 0.3275911;
const ERFC = [0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429];

/** Taylor series of (exp(x) - 1) / x, highest power first. */
const EXPM1 = [1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1];

/** ln(1 + x) / x on [-0.5, 1], highest power first. */
const LOG1P = [
  -0.052037525556684096,
  0.15799617916430397,
  -0.20925805696435787,
  0.20919213902419415,
  -0.24465414248733885,
  0.3319955251288566,
  -0.5001694874609843,
  1.0000208250159992,
];

/** ln Gamma on [1, 8] in x - 4.5, highest power first. Centred, because powers of 8 would cancel in fp16. */
const LGAMMA_CENTRE = 4.5;
const LGAMMA = [
  3.935189048783974e-06,
  -1.7368862821849318e-05,
  -9.904632136900507e-06,
  -5.063402849001357e-05,
  0.0014535201243029226,
  -0.010745792598586731,
  0.1240676674629507,
  1.3893132071172924,
  2.453806649516902,
];

/** Gamma on [1, 2] in x - 1.5, highest power first. */
const GAMMA_CENTRE = 1.5;
const GAMMA = [
  0.07271315700819278,
  -0.09524680924569022,
  0.14250568218370452,
  -0.10518443046953783,
  0.41491322672719055,
  0.032278377199321216,
  0.8862262217269316,
];

/** Abramowitz and Stegun 9.4.1 in (x / 3)^2, 9.8.1 in (x / 3.75)^2, 9.8.5 in (x / 2)^2; lowest power first. */
const J0 = [1, -2.2499997, 1.2656208, -0.3163866, 0.0444479, -0.0039444, 0.00021];
const I0 = [1, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813];
const K0 = [-0.57721566, 0.4227842, 0.23069756, 0.0348859, 0.00262698, 0.0001075, 0.0000074];

/**
 * Sine on [-pi/2, pi/2], on every family.
 *
 * @param x Arguments.
 * @returns Values within 2e-3.
 * @example
 * ```ts
 * special.sin(x);
 * ```
 */
export function sin(x: Tensor): Tensor {
  return x.mul(polynomial(x.mul(x), SIN.toReversed()));
}

/**
 * Cosine on [-pi/2, pi/2], on every family.
 *
 * @param x Arguments.
 * @returns Values within 2e-3.
 * @example
 * ```ts
 * special.cos(x);
 * ```
 */
export function cos(x: Tensor): Tensor {
  return polynomial(x.mul(x), COS.toReversed());
}

/**
 * Complementary error function 1 - erf(x) on [0, 6], without the cancellation of the difference. For negative x use
 * 2 - erfc(-x).
 *
 * @param x Arguments, 0 to 6.
 * @returns Values; from 4 on they are too small for fp16.
 * @example
 * ```ts
 * special.erfc(x);
 * ```
 */
export function erfc(x: Tensor): Tensor {
  const t = x.muls(ERFC_P).adds(1).inverse();
  return polynomial(t, ERFC.toReversed()).mul(t).mul(x.mul(x).muls(-1).exp());
}

/**
 * exp(x) - 1 on [-0.7, 0.7], without the cancellation of the difference near 0.
 *
 * @param x Arguments.
 * @returns Values, exact at 0.
 * @example
 * ```ts
 * special.expm1(x);
 * ```
 */
export function expm1(x: Tensor): Tensor {
  return x.mul(polynomial(x, EXPM1));
}

/**
 * ln(1 + x) on [-0.5, 1], without the cancellation of the sum near 0.
 *
 * @param x Arguments.
 * @returns Values, exact at 0.
 * @example
 * ```ts
 * special.log1p(x);
 * ```
 */
export function log1p(x: Tensor): Tensor {
  return x.mul(polynomial(x, LOG1P));
}

/**
 * Logarithm of the gamma function on [1, 8].
 *
 * @param x Arguments.
 * @returns Values; the absolute error is a few 1e-3 away from the zeros at 1 and 2 and larger at the ends.
 * @example
 * ```ts
 * special.lgamma(x);
 * ```
 */
export function lgamma(x: Tensor): Tensor {
  return polynomial(x.adds(-LGAMMA_CENTRE), LGAMMA);
}

/**
 * Gamma function on [1, 2].
 *
 * @param x Arguments.
 * @returns Values.
 * @example
 * ```ts
 * special.gamma(x);
 * ```
 */
export function gamma(x: Tensor): Tensor {
  return polynomial(x.adds(-GAMMA_CENTRE), GAMMA);
}

/**
 * Gamma function on [1, 7.5] as exp(lgamma(x)): wider, and less exact than {@linkcode gamma}.
 *
 * @param x Arguments.
 * @returns Values, which stay below the largest fp16 number.
 * @example
 * ```ts
 * special.gammaViaLgamma(x);
 * ```
 */
export function gammaViaLgamma(x: Tensor): Tensor {
  return lgamma(x).exp();
}

/**
 * Bessel function J0 on [-3, 3].
 *
 * @param x Arguments.
 * @returns Values.
 * @example
 * ```ts
 * special.besselJ0(x);
 * ```
 */
export function besselJ0(x: Tensor): Tensor {
  return polynomial(x.mul(x).muls(1 / 9), J0.toReversed());
}

/**
 * Modified Bessel function I0 on [-3.75, 3.75].
 *
 * @param x Arguments.
 * @returns Values.
 * @example
 * ```ts
 * special.besselI0(x);
 * ```
 */
export function besselI0(x: Tensor): Tensor {
  return polynomial(x.mul(x).muls(1 / (3.75 * 3.75)), I0.toReversed());
}

/**
 * Modified Bessel function K0 on (0, 2]: -ln(x / 2) I0(x) plus a series in (x / 2)^2.
 *
 * @param x Arguments, positive.
 * @returns Values; they grow like -ln(x) towards 0.
 * @example
 * ```ts
 * special.besselK0(x);
 * ```
 */
export function besselK0(x: Tensor): Tensor {
  const half = x.muls(0.5);
  return polynomial(half.mul(half), K0.toReversed()).sub(half.log().mul(besselI0(x)));
}

/**
 * exp(x) by squaring exp(x / 2^splits). The native exponential is about as exact; the range ends at 11.09 either way.
 *
 * @param x Arguments.
 * @param splits Number of squarings (default 1).
 * @returns Values.
 * @example
 * ```ts
 * special.expWide(x);
 * ```
 */
export function expWide(x: Tensor, splits = 1): Tensor {
  checkInteger("expWide", "splits", splits, 0);
  let result = x.muls(2 ** -splits).exp();
  for (let i = 0; i < splits; i++) result = result.mul(result);
  return result;
}

/**
 * ln(x) of large arguments: 2^roots ln(x^(1 / 2^roots)).
 *
 * @param x Arguments, positive.
 * @param roots Number of square roots (default 3).
 * @returns Values.
 * @example
 * ```ts
 * special.logWide(x);
 * ```
 */
export function logWide(x: Tensor, roots = 3): Tensor {
  checkInteger("logWide", "roots", roots, 0);
  let result = x;
  for (let i = 0; i < roots; i++) result = result.sqrt();
  return result.log().muls(2 ** roots);
}
