import CKernels
import MPI

/// Every node sends each other node its piece of the slice that is owned there, and its new slice of y: one message of
/// each kind, bucket and pair of nodes. The owner sums the pieces in the fixed tree. With float32 on the wire, y is
/// received where it belongs, and the gradients of a lone rank of a node are sent from where they are.
final class DirectTransport: NodeTransport {
  private let context: TransportContext
  private let sums: NodeSums
  private let messages: RepeatedMessages
  private let queue: SendQueue
  /// For each bucket, its messages; owned by this object, as are the other tables.
  private let ranges: UnsafeMutablePointer<Messages>
  private let gradientsIn: Range<Int>
  private let yIn: Range<Int>
  private let sends: Range<Int>

  /// This node's sums for others, of all buckets; and the pieces received for this rank's own slices. For each bucket
  /// and node, where they begin.
  private let outgoing: WireBuffer
  private let incoming: WireBuffer
  private let outgoingOffsets: UnsafeMutablePointer<Int>
  private let incomingOffsets: UnsafeMutablePointer<Int>
  /// This node's own piece of each bucket, where it does not lie in its rank's gradients.
  private let ownPieces: AlignedBuffer
  /// For each bucket and node, a piece of this rank's slice as it is summed.
  private let piecePointers: UnsafeMutablePointer<UnsafePointer<Float>>
  /// The pieces of the bucket at hand in float32, or a sum before it is rounded.
  private let scratch: AlignedBuffer
  /// y as it travels, where that is not float32: this rank's slices, and those of its peers, laid out as the region.
  private let wireY: WireBuffer?
  private let yOffsets: UnsafeMutablePointer<Int>

  /// The messages of one bucket, by kind.
  private struct Messages {
    var gradientsIn = 0..<0
    var gradientsOut = 0..<0
    var yIn = 0..<0
    var yOut = 0..<0
  }

  /// - Throws: ``DataParallelError/outOfMemory(byteCount:what:)``, `MPIError`.
  init(_ context: TransportContext) throws {
    let (topology, bucketCount) = (context.topology, context.bucketCount)
    let (nodeCount, own) = (topology.nodeCount, topology.node)
    let isExact = context.wire == .float32
    let sums = NodeSums(context)
    let tableCount = max(bucketCount * nodeCount, 1)
    self.context = context
    self.sums = sums

    // Where everything lies: slices begin on cache lines.
    func padded(_ count: Int) -> Int { (count + 15) / 16 * 16 }
    outgoingOffsets = .allocate(capacity: tableCount)
    incomingOffsets = .allocate(capacity: tableCount)
    yOffsets = .allocate(capacity: tableCount)
    piecePointers = .allocate(capacity: tableCount)
    var (outgoingCount, incomingCount, ownCount, yCount, largest) = (0, 0, 0, 0, 0)
    var ownOffsets: [Int] = []
    for bucket in 0..<bucketCount {
      let ownSlice = context.slice(bucket, own).count
      largest = max(largest, padded(ownSlice))
      ownOffsets.append(ownCount)
      ownCount += padded(ownSlice)
      for node in 0..<nodeCount {
        let entry = bucket * nodeCount + node
        (outgoingOffsets + entry).initialize(to: outgoingCount)
        (incomingOffsets + entry).initialize(to: incomingCount)
        (yOffsets + entry).initialize(to: yCount)
        yCount += padded(sums.count(bucket, node))
        largest = max(largest, padded(sums.count(bucket, node)))
        guard node != own else { continue }
        outgoingCount += padded(sums.count(bucket, node))
        incomingCount += padded(ownSlice)
      }
    }
    let sendsInPlace = sums.areInPlace && isExact
    outgoing = try WireBuffer(context.wire, count: sendsInPlace ? 0 : outgoingCount, for: "gradients to send")
    incoming = try WireBuffer(context.wire, count: incomingCount, for: "received gradients")
    ownPieces = try AlignedBuffer(count: sums.areInPlace ? 0 : ownCount, for: "the node's sums")
    scratch = try AlignedBuffer(count: isExact ? 0 : largest * nodeCount, for: "pieces of gradients")
    wireY = isExact ? nil : try WireBuffer(context.wire, count: yCount, for: "y to send")
    for bucket in 0..<bucketCount {
      let slice = context.slice(bucket, own)
      for node in 0..<nodeCount {
        let entry = bucket * nodeCount + node
        let piece: UnsafePointer<Float>
        if node == own {
          piece = sums.areInPlace ? sums.inPlace(bucket, own) : UnsafePointer(ownPieces.pointer + ownOffsets[bucket])
        } else if let floats = incoming.floats(at: incomingOffsets[entry]) {
          piece = UnsafePointer(floats)
        } else {
          piece = UnsafePointer(scratch.pointer + node * padded(slice.count))
        }
        (piecePointers + entry).initialize(to: piece)
      }
    }

    // Messages: those of a kind follow each other, so that all receives of a kind are started together.
    messages = try RepeatedMessages(over: context.peers, capacity: 4 * tableCount)
    queue = SendQueue(messages, capacity: 2 * bucketCount)
    ranges = .allocate(capacity: max(bucketCount, 1))
    ranges.initialize(repeating: Messages(), count: max(bucketCount, 1))
    let (messages, outgoing, incoming, wireY) = (messages, outgoing, incoming, wireY)
    let (outgoingOffsets, incomingOffsets, yOffsets) = (outgoingOffsets, incomingOffsets, yOffsets)
    /// Adds a message for each peer with something to carry; neighbours first, each node from its own place in the
    /// ring, so that not all begin with node 0.
    func forPeers(
      _ bucket: Int, _ direction: Int, _ add: (_ node: Int, _ entry: Int) throws -> Void
    ) throws -> Range<Int> {
      let first = messages.count
      for distance in 1..<max(nodeCount, 1) {
        let node = (own + direction * distance + nodeCount) % nodeCount
        try add(node, bucket * nodeCount + node)
      }
      return first..<messages.count
    }
    let parameters = context.memory.parameters
    for bucket in 0..<bucketCount where sums.count(bucket, own) > 0 {
      ranges[bucket].gradientsIn = try forPeers(bucket, -1) { node, entry in
        try incoming.addReceive(
          at: incomingOffsets[entry], count: sums.count(bucket, own), from: node, tag: 2 * bucket, in: messages)
      }
    }
    gradientsIn = 0..<messages.count
    for bucket in 0..<bucketCount {
      ranges[bucket].yIn = try forPeers(bucket, -1) { node, entry in
        let slice = context.slice(bucket, node)
        guard !slice.isEmpty else { return }
        if let wireY {
          try wireY.addReceive(
            at: yOffsets[entry], count: slice.count, from: node, tag: 2 * bucket + 1, in: messages)
        } else {
          try messages.addReceive(
            parameters + slice.lowerBound, count: slice.count, from: node, tag: 2 * bucket + 1)
        }
      }
    }
    yIn = gradientsIn.upperBound..<messages.count
    for bucket in 0..<bucketCount {
      ranges[bucket].gradientsOut = try forPeers(bucket, 1) { node, entry in
        let count = sums.count(bucket, node)
        guard count > 0 else { return }
        if sendsInPlace {
          try messages.addSend(sums.inPlace(bucket, node), count: count, to: node, tag: 2 * bucket)
        } else {
          try outgoing.addSend(from: outgoingOffsets[entry], count: count, to: node, tag: 2 * bucket, in: messages)
        }
      }
      let slice = context.slice(bucket, own)
      guard !slice.isEmpty else { continue }
      ranges[bucket].yOut = try forPeers(bucket, 1) { node, _ in
        if let wireY {
          try wireY.addSend(
            from: yOffsets[bucket * nodeCount + own], count: slice.count, to: node, tag: 2 * bucket + 1, in: messages)
        } else {
          try messages.addSend(
            UnsafePointer(parameters + slice.lowerBound), count: slice.count, to: node, tag: 2 * bucket + 1)
        }
      }
    }
    sends = yIn.upperBound..<messages.count
  }

  deinit {
    ranges.deallocate()
    outgoingOffsets.deallocate()
    incomingOffsets.deallocate()
    yOffsets.deallocate()
    piecePointers.deallocate()
  }

  func startGradients() throws { try messages.start(gradientsIn) }

  func startParameters() throws { try messages.start(yIn) }

  func progress() throws {
    try messages.progress(0..<sends.upperBound)
    try queue.giveMore()
  }

  func sendGradients(_ bucket: Int) throws {
    let (nodeCount, own) = (context.topology.nodeCount, context.topology.node)
    if !sums.areInPlace {
      sums.write(bucket, own, to: UnsafeMutablePointer(mutating: piecePointers[bucket * nodeCount + own]))
    }
    if !(sums.areInPlace && context.wire == .float32) {
      for node in 0..<nodeCount where node != own {
        let (offset, count) = (outgoingOffsets[bucket * nodeCount + node], sums.count(bucket, node))
        if sums.areInPlace {
          outgoing.store(sums.inPlace(bucket, node), at: offset, count: count)
        } else if let floats = outgoing.floats(at: offset) {
          sums.write(bucket, node, to: floats)
        } else {
          sums.write(bucket, node, to: scratch.pointer)
          outgoing.store(scratch.pointer, at: offset, count: count)
        }
      }
    }
    try queue.send(ranges[bucket].gradientsOut, urgency: context.urgency(ofGradient: bucket))
  }

  func piecesArrived(_ bucket: Int) throws -> Bool { messages.isKnownComplete(ranges[bucket].gradientsIn) }

  func pieces(_ bucket: Int) -> GradientPieces {
    let (nodeCount, own) = (context.topology.nodeCount, context.topology.node)
    let pointers = piecePointers + bucket * nodeCount
    if incoming.type != .float32 {
      for node in 0..<nodeCount where node != own {
        incoming.load(
          to: UnsafeMutablePointer(mutating: pointers[node]), from: incomingOffsets[bucket * nodeCount + node],
          count: sums.count(bucket, own))
      }
    }
    return GradientPieces(pointers: UnsafePointer(pointers), count: nodeCount)
  }

  func sendParameters(_ bucket: Int) throws {
    let own = context.topology.node
    if let wireY {
      let slice = context.slice(bucket, own)
      let (offset, y) = (yOffsets[bucket * context.topology.nodeCount + own], context.memory.parameters)
      wireY.store(y + slice.lowerBound, at: offset, count: slice.count)
      wireY.load(to: y + slice.lowerBound, from: offset, count: slice.count)
    }
    try queue.send(ranges[bucket].yOut, urgency: context.urgency(ofY: bucket))
  }

  func parametersArrived(_ bucket: Int) throws -> Bool {
    guard messages.isKnownComplete(ranges[bucket].yIn) else { return false }
    if let wireY {
      let (nodeCount, own) = (context.topology.nodeCount, context.topology.node)
      for node in 0..<nodeCount where node != own {
        let slice = context.slice(bucket, node)
        wireY.load(
          to: context.memory.parameters + slice.lowerBound, from: yOffsets[bucket * nodeCount + node],
          count: slice.count)
      }
    }
    return true
  }

  func sendsAreComplete() throws -> Bool {
    try progress()
    return queue.isEmpty && messages.isKnownComplete(sends)
  }

  func sendRest() throws { try queue.giveAll() }

  func free() throws { try messages.free() }
}
