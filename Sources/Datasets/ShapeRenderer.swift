import CKernels

/// How much synthetic shapes vary. Tuned so that a linear classifier mostly fails and a small residual network rarely.
private enum Variation {
  /// Radius of a shape in pixels.
  static let radius: (Float, Float) = (6, 11)
  /// Of a shape's middle from the image's, in pixels.
  static let shift: Float = 5
  /// Width of a shape in parts of its height.
  static let aspect: (Float, Float) = (0.8, 1)
  /// Width of a shape's soft edge in pixels.
  static let softness: (Float, Float) = (0.9, 1.8)
  /// Of ink and paper in each channel, of 255, going round from 255 to 0.
  static let contrast: (Float, Float) = (48, 208)
  /// Change of the ink from a shape's middle to its ends.
  static let shading: Float = 40
  /// What clouds of 1 change in each channel.
  static let tint: Float = 130
  /// Radius of spots in pixels.
  static let spot: (Float, Float) = (1, 3.5)
  /// Largest noise of an image, of 255.
  static let noise: (Float, Float) = (5, 50)
}

/// Draws synthetic shapes one at a time: chooses what a scene looks like, and has it painted.
///
/// Only additions, multiplications and divisions are used, here as in painting, so the bytes are the same on every
/// machine.
enum ShapeRenderer {
  /// Height and width of an image in pixels.
  static let side = Int(FW_SCENE_SIDE)
  /// Bytes of an image.
  static let imageSize = 3 * side * side

  /// Draws a shape the way its stream has it, into 3 × 32 × 32 bytes.
  static func draw(
    _ shape: UInt8, _ split: SyntheticShapes.Split, example: Int, seed: UInt64, into image: UnsafeMutablePointer<UInt8>
  ) {
    var random = Philox(seed: seed, domain: split.shapeDomain, subject: UInt64(example))
    var scene = fw_scene()
    place(fw_shape(UInt32(shape)), in: &scene, &random)
    color(&scene, &random)
    background(of: &scene, &random)
    scene.noise = random.uniform(Variation.noise.0, Variation.noise.1)
    scene.key = seed
    scene.stream = (
      split.shapeNoiseDomain.rawValue, UInt32(truncatingIfNeeded: example), UInt32(truncatingIfNeeded: example >> 32)
    )
    fw_paint_scene(&scene, image)
  }

  private static func place(_ shape: fw_shape, in scene: inout fw_scene, _ random: inout Philox) {
    scene.shape = shape
    scene.radius = random.uniform(Variation.radius.0, Variation.radius.1)
    scene.x = Float(side) / 2 + random.signedUnit() * Variation.shift
    scene.y = Float(side) / 2 + random.signedUnit() * Variation.shift
    scene.aspect = random.uniform(Variation.aspect.0, Variation.aspect.1)
    scene.softness = random.uniform(Variation.softness.0, Variation.softness.1)
    // Up to a quarter turn either way by the half-angle formulas, which need nothing but division; then perhaps half a
    // turn.
    let tangent = random.signedUnit()
    let way: Float = random.next() & 1 == 0 ? 1 : -1
    scene.cosine = way * (1 - tangent * tangent) / (1 + tangent * tangent)
    scene.sine = way * 2 * tangent / (1 + tangent * tangent)
  }

  private static func color(_ scene: inout fw_scene, _ random: inout Philox) {
    let paper = randomColor(&random)
    func far(from paper: Float) -> Float {
      let ink = paper + random.uniform(Variation.contrast.0, Variation.contrast.1)
      return ink < 256 ? ink : ink - 256
    }
    scene.paper = paper
    scene.ink = (far(from: paper.0), far(from: paper.1), far(from: paper.2))
    scene.shading = random.signedUnit() * Variation.shading
  }

  private static func background(of scene: inout fw_scene, _ random: inout Philox) {
    scene.tint = (
      random.signedUnit() * Variation.tint, random.signedUnit() * Variation.tint, random.signedUnit() * Variation.tint
    )
    withUnsafeMutableBytes(of: &scene.clouds) { clouds in
      for node in 0..<Int(FW_SCENE_NODES * FW_SCENE_NODES) {
        clouds.storeBytes(of: random.bell(), toByteOffset: node * MemoryLayout<Float>.stride, as: Float.self)
      }
    }
    func spot() -> fw_spot {
      let (x, y) = (random.uniform(0, Float(side)), random.uniform(0, Float(side)))
      let radius = random.uniform(Variation.spot.0, Variation.spot.1)
      return fw_spot(x: x, y: y, radius: radius, color: randomColor(&random))
    }
    scene.spots = (spot(), spot(), spot())
  }

  private static func randomColor(_ random: inout Philox) -> (Float, Float, Float) {
    (random.uniform(0, 256), random.uniform(0, 256), random.uniform(0, 256))
  }
}
