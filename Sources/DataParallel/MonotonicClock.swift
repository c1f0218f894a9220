import Monitoring

/// Seconds of the monotonic clock, from an arbitrary start: for intervals only.
public func monotonicSeconds() -> Double { Double(monotonicNanoseconds()) * 1e-9 }
