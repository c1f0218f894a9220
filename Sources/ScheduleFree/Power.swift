import Foundation

/// base^exponent for a base of at least 0. 0^0 is 1.
///
/// Whole exponents are multiplied out by repeated squaring, so that with the usual settings (r = 0, powers of 2, β₂^k)
/// the scalars of a run have the same bits on every machine: `pow` of the C library is not rounded correctly, and picks
/// other code on other processors.
func power(_ base: Double, _ exponent: Double) -> Double {
  guard let whole = Int(exactly: exponent), whole >= 0 else { return pow(base, exponent) }
  return power(base, whole)
}

/// base^exponent for an exponent of at least 0.
func power(_ base: Double, _ exponent: Int) -> Double {
  var result = 1.0
  var square = base
  var rest = exponent
  while rest > 0 {
    if rest & 1 == 1 { result *= square }
    rest >>= 1
    if rest > 0 { square *= square }
  }
  return result
}
