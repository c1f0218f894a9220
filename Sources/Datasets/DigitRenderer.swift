/// How much synthetic digits vary. Tuned so that a linear classifier fails often and a small convolutional network
/// rarely.
private enum Variation {
  /// Of a control point, in parts of the digit's box.
  static let jitter: Float = 0.09
  /// Of the displacement field's nodes, in parts of the box.
  static let displacement: Float = 0.22
  /// Height of the box in pixels.
  static let height: (Float, Float) = (15, 20.5)
  /// Width of the box in parts of its height.
  static let aspect: (Float, Float) = (0.55, 0.95)
  /// Horizontal shear: pixels sideways per pixel of height.
  static let shear: Float = 0.35
  /// Tangent of half the angle of rotation; 0.14 is 16 degrees.
  static let halfAngleTangent: Float = 0.14
  /// Of the digit's middle from the image's, in pixels.
  static let shift: Float = 1.5
  /// Half the pen's width in pixels.
  static let radius: (Float, Float) = (0.5, 1.6)
  /// Change of that along a stroke, in parts of it.
  static let taper: Float = 0.35
  /// Width of a stroke's soft edge in pixels.
  static let softness: (Float, Float) = (0.9, 1.7)
  /// Brightness of the ink, of 255.
  static let ink: (Float, Float) = (120, 255)
  /// Largest noise of an image, of 255.
  static let noise: (Float, Float) = (0, 80)
}

/// Draws synthetic digits one at a time, in buffers that are allocated once.
///
/// Only additions, multiplications, divisions, square roots and conversions are used, each of which IEEE 754 rounds in
/// one way (Swift fuses no multiplication with an addition unasked), and no function of a mathematical library: the
/// pixels are the same on every machine.
struct DigitRenderer {
  /// Height and width of an image in pixels.
  static let size = 28

  private struct Point {
    var x: Float
    var y: Float

    static func middle(_ a: Point, _ b: Point) -> Point { Point(x: (a.x + b.x) * 0.5, y: (a.y + b.y) * 0.5) }
  }

  /// A point of the pen's path, with half the pen's width there.
  private struct Vertex {
    var x: Float
    var y: Float
    var radius: Float
    /// Whether the pen was lifted before this point.
    var startsStroke: Bool
  }

  /// Straight pieces per Bézier arc of a stroke.
  private static let piecesPerArc = 5
  /// Nodes along each side of the displacement field.
  private static let fieldSide = 5
  /// The field covers the box and this much around it, in parts of the box.
  private static let fieldMargin: Float = 0.25

  private var control: [Point] = []
  private var path: [Vertex] = []
  private var field = [Point](repeating: Point(x: 0, y: 0), count: fieldSide * fieldSide)
  /// Per pixel: how far inside a stroke its centre lies, in pixels; negative outside.
  private var depth = [Float](repeating: 0, count: size * size)

  init() {
    control.reserveCapacity(DigitSkeletons.maximalPointCount)
    path.reserveCapacity(DigitSkeletons.maximalPointCount * (Self.piecesPerArc + 1))
  }

  /// Draws `digit` the way the stream `random` has it, into 28 × 28 bytes.
  mutating func draw(_ digit: Int, _ random: inout Philox, into image: UnsafeMutablePointer<UInt8>) {
    let ways = DigitSkeletons.variants[digit]
    let strokes = ways[Int(random.next(below: UInt32(ways.count)))]
    drawField(&random)
    path.removeAll(keepingCapacity: true)
    let radius = random.uniform(Variation.radius.0, Variation.radius.1)
    for stroke in strokes { trace(stroke, radius: radius, &random) }
    place(&random)
    rasterise()
    shade(&random, into: image)
  }

  // MARK: The pen's path, in the digit's box

  /// Draws the nodes of a smooth displacement field: elastic distortion after Simard, Steinkraus and Platt, "Best
  /// practices for convolutional neural networks applied to visual document analysis" (ICDAR 2003), but smoothed by a
  /// quadratic B-spline between coarse nodes, and applied to the pen's path instead of to pixels, which costs next to
  /// nothing.
  private mutating func drawField(_ random: inout Philox) {
    for node in 0..<field.count {
      field[node] = Point(x: random.bell() * Variation.displacement, y: random.bell() * Variation.displacement)
    }
  }

  /// Appends a stroke's spline, jittered and displaced, as straight pieces.
  private mutating func trace(_ stroke: Stroke, radius: Float, _ random: inout Philox) {
    control.removeAll(keepingCapacity: true)
    for index in 0..<stroke.points.count {
      let point = stroke.points[index]
      if index > 0, point == stroke.points[index - 1] {
        control.append(control[index - 1])  // a corner stays one
      } else {
        control.append(
          Point(x: point.x + random.bell() * Variation.jitter, y: point.y + random.bell() * Variation.jitter))
      }
    }
    let count = control.count
    let arcs = stroke.closed ? count : max(count - 2, 1)
    let taper = random.signedUnit() * Variation.taper
    let step = 2 / Float(arcs * Self.piecesPerArc)
    var along: Float = -1
    for arc in 0..<arcs {
      let (from, middle, to): (Point, Point, Point)
      if stroke.closed {
        middle = control[arc]
        from = .middle(control[arc == 0 ? count - 1 : arc - 1], middle)
        to = .middle(middle, control[arc == count - 1 ? 0 : arc + 1])
      } else if count == 2 {
        (from, middle, to) = (control[0], .middle(control[0], control[1]), control[1])
      } else {
        middle = control[arc + 1]
        from = arc == 0 ? control[0] : .middle(control[arc], middle)
        to = arc == arcs - 1 ? control[count - 1] : .middle(middle, control[arc + 2])
      }
      for piece in (arc == 0 ? 0 : 1)...Self.piecesPerArc {
        let t = Float(piece) / Float(Self.piecesPerArc)
        let (a, b, c) = ((1 - t) * (1 - t), 2 * t * (1 - t), t * t)
        let point = displaced(
          Point(x: a * from.x + b * middle.x + c * to.x, y: a * from.y + b * middle.y + c * to.y))
        path.append(
          Vertex(x: point.x, y: point.y, radius: radius * (1 + taper * along), startsStroke: arc == 0 && piece == 0))
        along += step
      }
    }
  }

  /// A point moved by the displacement field.
  private func displaced(_ point: Point) -> Point {
    let spans = Float(Self.fieldSide - 2)
    let scale = spans / (1 + 2 * Self.fieldMargin)
    let u = min(max((point.x + Self.fieldMargin) * scale, 0), spans * 0.9999)
    let v = min(max((point.y + Self.fieldMargin) * scale, 0), spans * 0.9999)
    let (column, row) = (Int(u), Int(v))
    let (across, down) = (Self.weights(u - Float(column)), Self.weights(v - Float(row)))
    var result = point
    func add(_ rowOffset: Int, _ weight: Float) {
      let node = (row + rowOffset) * Self.fieldSide + column
      result.x += weight * (across.0 * field[node].x + across.1 * field[node + 1].x + across.2 * field[node + 2].x)
      result.y += weight * (across.0 * field[node].y + across.1 * field[node + 1].y + across.2 * field[node + 2].y)
    }
    add(0, down.0)
    add(1, down.1)
    add(2, down.2)
    return result
  }

  /// The three weights of a uniform quadratic B-spline at `t` of a span.
  private static func weights(_ t: Float) -> (Float, Float, Float) {
    (0.5 * (1 - t) * (1 - t), 0.5 + t - t * t, 0.5 * t * t)
  }

  // MARK: Onto the pixels

  /// Takes the path from the box to pixels: scale, shear, rotation, shift.
  private mutating func place(_ random: inout Philox) {
    let height = random.uniform(Variation.height.0, Variation.height.1)
    let width = height * random.uniform(Variation.aspect.0, Variation.aspect.1)
    let shear = random.signedUnit() * Variation.shear
    // Cosine and sine by the half-angle formulas, which need nothing but division.
    let tangent = random.signedUnit() * Variation.halfAngleTangent
    let cosine = (1 - tangent * tangent) / (1 + tangent * tangent)
    let sine = 2 * tangent / (1 + tangent * tangent)
    let middle = Float(Self.size) / 2
    let (shiftX, shiftY) = (random.signedUnit() * Variation.shift, random.signedUnit() * Variation.shift)
    for index in 0..<path.count {
      let y = (path[index].y - 0.5) * height
      let x = (path[index].x - 0.5) * width - shear * y
      path[index].x = cosine * x - sine * y + middle + shiftX
      path[index].y = sine * x + cosine * y + middle + shiftY
    }
  }

  /// Fills `depth`: per pixel the largest, over the path's pieces, of half the pen's width less the distance.
  private mutating func rasterise() {
    let size = Self.size
    let edge = Variation.softness.1 * 0.5
    let path = path
    depth.withUnsafeMutableBufferPointer { depth in
      depth.update(repeating: -edge)
      for index in 1..<path.count where !path[index].startsStroke {
        let (start, end) = (path[index - 1], path[index])
        let (dx, dy) = (end.x - start.x, end.y - start.y)
        let squared = dx * dx + dy * dy
        let inverse = squared > 0 ? 1 / squared : 0
        let widening = end.radius - start.radius
        let reach = max(start.radius, end.radius) + edge
        // Pixel centres lie at half-integers; the pixels outside these bounds stay at -edge or below.
        let left = max(Int(min(start.x, end.x) - reach), 0)
        let right = min(Int(max(start.x, end.x) + reach), size - 1)
        let top = max(Int(min(start.y, end.y) - reach), 0)
        let bottom = min(Int(max(start.y, end.y) + reach), size - 1)
        guard left <= right, top <= bottom else { continue }
        var row = top
        while row <= bottom {
          let y = Float(row) + 0.5 - start.y
          var column = left
          while column <= right {
            let x = Float(column) + 0.5 - start.x
            let projected = (x * dx + y * dy) * inverse
            let t = projected < 0 ? 0 : projected > 1 ? 1 : projected
            let (ex, ey) = (x - t * dx, y - t * dy)
            let value = start.radius + t * widening - (ex * ex + ey * ey).squareRoot()
            let pixel = row * size + column
            if value > depth[pixel] { depth[pixel] = value }
            column += 1
          }
          row += 1
        }
      }
    }
  }

  /// Turns depth into bytes: soft edges, ink, noise.
  private func shade(_ random: inout Philox, into image: UnsafeMutablePointer<UInt8>) {
    let softness = random.uniform(Variation.softness.0, Variation.softness.1)
    let ink = random.uniform(Variation.ink.0, Variation.ink.1)
    let noise = random.uniform(Variation.noise.0, Variation.noise.1) / 256
    let slope = 1 / softness
    func shaded(_ depth: Float, _ bits: UInt32) -> UInt8 {
      let coverage = min(max(depth * slope + 0.5, 0), 1)
      // The difference of two bytes: a triangle over -255 ... 255.
      let spread = Float(Int32(bits >> 8 & 0xff) - Int32(bits & 0xff))
      return UInt8(min(max(coverage * ink + spread * noise + 0.5, 0), 255))
    }
    var pixel = 0
    // Eight pixels per block of four words; 784 is a multiple of 8.
    while pixel < Self.size * Self.size {
      let words = random.nextBlock()
      image[pixel] = shaded(depth[pixel], words.0)
      image[pixel + 1] = shaded(depth[pixel + 1], words.0 >> 16)
      image[pixel + 2] = shaded(depth[pixel + 2], words.1)
      image[pixel + 3] = shaded(depth[pixel + 3], words.1 >> 16)
      image[pixel + 4] = shaded(depth[pixel + 4], words.2)
      image[pixel + 5] = shaded(depth[pixel + 5], words.2 >> 16)
      image[pixel + 6] = shaded(depth[pixel + 6], words.3)
      image[pixel + 7] = shaded(depth[pixel + 7], words.3 >> 16)
      pixel += 8
    }
  }
}
