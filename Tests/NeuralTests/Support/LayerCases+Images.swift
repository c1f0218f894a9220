import Neural

// Poolings, activations and convolutions.
extension NetworkCase {
  static let poolings: [NetworkCase] = [
    NetworkCase("average poolings", batch: 2, input: [3, 9, 7]) {
      projected("conv1", 7)
      AveragePool(2)
      projected("conv2", 17)
      AveragePool(3, stride: 2, padding: 1)
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("average pooling in front, global pooling behind", batch: 2, input: [3, 5, 7]) {
      AveragePool(2, stride: 1)
      projected("conv", 17)
      ReLU()
      GlobalAveragePool()
      Dense("fc", 3)
    },
    NetworkCase("global pooling, layer norm, residual block of features", batch: 2, input: [3, 5, 7]) {
      projected("conv", 17)
      GlobalAveragePool()
      LayerNorm("norm")
      Residual {
        Dense("fc1", 17)
        ReLU()
      }
      Dense("fc2", 3)
    },
    NetworkCase("global pooling, residual block", batch: 2, input: [3, 5, 7]) {
      projected("conv", 17)
      GlobalAveragePool()
      Residual {
        Dense("fc1", 17)
        Dropout(0.3)
      }
      Dense("fc2", 3)
    },
    NetworkCase("global pooling gives the logits", batch: 2, input: [3, 5, 7]) {
      projected("conv1", 7)
      ReLU()
      projected("conv2", 3)
      GlobalAveragePool()
    },
  ]

  static let activations: [NetworkCase] =
    activationLayers.dropFirst().flatMap { activation in
      [
        NetworkCase("\(activation.name) of images and features", batch: 2, input: [3, 5, 7]) {
          projected("conv1", 7)
          [activation.layer]
          MaxPool(2)
          Flatten()
          Dense("fc1", 19)
          [activation.layer]
          Dense("fc2", 3)
        },
        NetworkCase("\(activation.name) and dropout", batch: 3, input: [3, 5, 7]) {
          projected("conv1", 7)
          [activation.layer]
          Dropout(0.3)
          projected("conv2", 16)
          BatchNorm("bn")
          [activation.layer]
          Dropout(0.2)
          Flatten()
          Dense("fc1", 19)
          [activation.layer]
          Dropout(0.5)
          Dense("fc2", 3)
        },
      ]
    } + [
      NetworkCase("activation in front, factors", batch: 2, input: [3, 5, 7]) {
        Scale(1.5)
        SiLU()
        projected("conv", 7)
        Scale(-0.75)
        Flatten()
        Dense("fc", 3)
        Scale(0.125)
      }
    ]

  static let convolutions: [NetworkCase] = [
    NetworkCase("groups and depths", batch: 2, input: [3, 5, 7]) {
      projected("conv1", 10)
      Convolution("conv2", channels: 15, kernel: 3, padding: 1, groups: 5)
      ReLU()
      Convolution("conv3", channels: 15, kernel: 3, stride: 2, padding: 1, bias: false, groups: 15)
      BatchNorm("bn")
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("a first layer that is not trained", batch: 2, input: [3, 5, 7]) {
      Convolution("whiten", channels: 16, kernel: 3, padding: 1, trainable: false)
      GELU(approximation: .tanh)
      Convolution("conv", channels: 7, kernel: 3, padding: 1, initializer: .dirac)
      MaxPool(2)
      BatchNorm("bn")
      Flatten()
      Dense("fc", 3)
    },
    NetworkCase("a normalisation behind a layer that is not trained", batch: 2, input: [3, 5, 7]) {
      Convolution("whiten", channels: 7, kernel: 3, padding: 1, bias: false, trainable: false)
      BatchNorm("bn1")
      Residual {
        projected("conv", 7)
        BatchNorm("bn2")
      }
      GELU(approximation: .tanh)
      GlobalAveragePool()
      Dense("fc", 3)
    },
    NetworkCase("a layer in the middle that is not trained", batch: 2, input: [3, 5, 7]) {
      projected("conv1", 16)
      ReLU()
      Convolution("fixed", channels: 16, kernel: 3, padding: 1, trainable: false)
      ReLU()
      MaxPool(2)
      Flatten()
      Dense("fc", 3)
    },
  ]
}
