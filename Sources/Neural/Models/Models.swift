/// Networks that the examples and the benchmarks share.
public enum Models {
  /// The networks by name, for tools that take one as an argument.
  public static let byName: [String: @Sendable () -> Sequential] = [
    "mnist": mnist, "resnet20": resNet20, "resnet18": resNet18, "wrn-16-8": wideResNet16x8, "resnet9": resNet9,
    "vit-tiny": vitTiny, "whitened": { whitenedNet() },
  ]
}
