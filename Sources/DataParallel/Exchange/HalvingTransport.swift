import CKernels
import MPI

/// Recursive halving and doubling, for a power of two of nodes: log₂ N messages of each kind where the direct way sends
/// N - 1, and as many bytes.
///
/// In round k of the sums each node exchanges with the one whose number differs in bit k, and the two divide the slices
/// that they are responsible for, by the same bit of the slice's number, so that each adds up half as many. After round
/// k a node has the sums over the 2ᵏ⁺¹ nodes whose numbers agree with its own above bit k: a subtree of the fixed tree,
/// so the bits are those of the direct way. (With bfloat16 on the wire they are not: each round rounds what it sends.)
/// New slices of y come back the same way in reverse, each node passing on what it has.
///
/// Slices lie in buffers ordered by the bits of their node's number in reverse: what a node is responsible for is then
/// one range.
final class HalvingTransport: NodeTransport {
  private let context: TransportContext
  private let sums: NodeSums
  private let messages: RepeatedMessages
  private let queue: SendQueue
  private let roundCount: Int

  /// The region of each bucket, in buffer order: sums so far; what travels of them; what is received, round by round;
  /// and y. Owned by this object, as are the tables.
  private let work: AlignedBuffer
  private let outgoing: WireBuffer?
  private let incoming: WireBuffer
  private let wireY: WireBuffer
  private let scratch: AlignedBuffer
  /// For each bucket and node, where its slice begins in the buffers.
  private let offsets: UnsafeMutablePointer<Int>
  /// For each bucket and round.
  private let rounds: UnsafeMutablePointer<Round>
  private let workPointers: UnsafeMutablePointer<UnsafePointer<Float>>
  /// For each bucket, rounds of sums and of y that are complete.
  private let summed: UnsafeMutablePointer<Int>
  private let returned: UnsafeMutablePointer<Int>
  private let gradientsIn: Range<Int>
  private let yIn: Range<Int>
  private let sends: Range<Int>

  /// One round of the sums of one bucket, and the round of y that runs it backwards.
  private struct Round {
    /// What the node goes on with, and what it sends away, in the buffers.
    var kept = 0..<0
    var sent = 0..<0
    /// Where what it receives lies in ``incoming``.
    var received = 0
    var gradientIn = 0..<0
    var gradientOut = 0..<0
    var yIn = 0..<0
    var yOut = 0..<0
  }

  /// - Throws: ``DataParallelError/outOfMemory(byteCount:what:)``, `MPIError`.
  init(_ context: TransportContext) throws {
    let (nodeCount, own) = (context.topology.nodeCount, context.topology.node)
    let bucketCount = context.bucketCount
    let roundCount = nodeCount.trailingZeroBitCount
    self.context = context
    self.roundCount = roundCount
    sums = NodeSums(context)
    offsets = .allocate(capacity: max(bucketCount * nodeCount, 1))
    rounds = .allocate(capacity: max(bucketCount * roundCount, 1))
    rounds.initialize(repeating: Round(), count: max(bucketCount * roundCount, 1))
    workPointers = .allocate(capacity: max(bucketCount, 1))
    summed = .allocate(capacity: max(bucketCount, 1))
    summed.initialize(repeating: 0, count: max(bucketCount, 1))
    returned = .allocate(capacity: max(bucketCount, 1))
    returned.initialize(repeating: 0, count: max(bucketCount, 1))

    /// The bits of a node's number in reverse.
    func place(_ node: Int) -> Int { (0..<roundCount).reduce(0) { $0 << 1 | node >> $1 & 1 } }
    var (end, received, largest) = (0, 0, 0)
    for bucket in 0..<bucketCount {
      var bounds = [end]
      for index in 0..<nodeCount {
        // Reversing twice gives the number back.
        (offsets + bucket * nodeCount + place(index)).initialize(to: end)
        end += (context.slice(bucket, place(index)).count + 15) / 16 * 16
        bounds.append(end)
      }
      var (first, count) = (0, nodeCount)
      for round in 0..<roundCount {
        count /= 2
        let lower = bounds[first]..<bounds[first + count]
        let upper = bounds[first + count]..<bounds[first + 2 * count]
        let takesUpper = own >> round & 1 == 1
        if takesUpper { first += count }
        let (kept, sent) = takesUpper ? (upper, lower) : (lower, upper)
        rounds[bucket * roundCount + round].kept = kept
        rounds[bucket * roundCount + round].sent = sent
        rounds[bucket * roundCount + round].received = received
        received += kept.count
        largest = max(largest, kept.count)
      }
    }
    work = try AlignedBuffer(count: end, for: "sums of gradients")
    let isExact = context.wire == .float32
    outgoing = isExact ? nil : try WireBuffer(context.wire, count: end, for: "gradients to send")
    incoming = try WireBuffer(context.wire, count: received, for: "received gradients")
    wireY = try WireBuffer(context.wire, count: end, for: "y to send")
    scratch = try AlignedBuffer(count: isExact ? 0 : largest, for: "received gradients")
    for bucket in 0..<bucketCount {
      (workPointers + bucket).initialize(to: UnsafePointer(work.pointer + offsets[bucket * nodeCount + own]))
    }

    messages = try RepeatedMessages(over: context.peers, capacity: 4 * max(bucketCount * roundCount, 1))
    queue = SendQueue(messages, capacity: 2 * bucketCount * roundCount)
    let (messages, rounds, work, outgoing, incoming, wireY) = (messages, rounds, work, outgoing, incoming, wireY)
    func add(
      _ keyPath: WritableKeyPath<Round, Range<Int>>, _ count: (Round) -> Int,
      _ add: (_ round: Round, _ peer: Int, _ bucket: Int) throws -> Void
    ) throws -> Range<Int> {
      let firstOfAll = messages.count
      for bucket in 0..<bucketCount {
        for index in 0..<roundCount {
          let round = rounds[bucket * roundCount + index]
          guard count(round) > 0 else { continue }
          let first = messages.count
          try add(round, own ^ 1 << index, bucket)
          rounds[bucket * roundCount + index][keyPath: keyPath] = first..<messages.count
        }
      }
      return firstOfAll..<messages.count
    }
    gradientsIn = try add(\.gradientIn, \.kept.count) { round, peer, bucket in
      try incoming.addReceive(at: round.received, count: round.kept.count, from: peer, tag: 2 * bucket, in: messages)
    }
    yIn = try add(\.yIn, \.sent.count) { round, peer, bucket in
      try wireY.addReceive(
        at: round.sent.lowerBound, count: round.sent.count, from: peer, tag: 2 * bucket + 1, in: messages)
    }
    let gradientsOut = try add(\.gradientOut, \.sent.count) { round, peer, bucket in
      if let outgoing {
        try outgoing.addSend(
          from: round.sent.lowerBound, count: round.sent.count, to: peer, tag: 2 * bucket, in: messages)
      } else {
        try messages.addSend(
          UnsafePointer(work.pointer + round.sent.lowerBound), count: round.sent.count, to: peer, tag: 2 * bucket)
      }
    }
    let yOut = try add(\.yOut, \.kept.count) { round, peer, bucket in
      try wireY.addSend(
        from: round.kept.lowerBound, count: round.kept.count, to: peer, tag: 2 * bucket + 1, in: messages)
    }
    sends = gradientsOut.lowerBound..<yOut.upperBound
  }

  deinit {
    offsets.deallocate()
    rounds.deallocate()
    workPointers.deallocate()
    summed.deallocate()
    returned.deallocate()
  }

  func startGradients() throws { try messages.start(gradientsIn) }

  func startParameters() throws { try messages.start(yIn) }

  func progress() throws {
    try messages.progress(0..<sends.upperBound)
    try queue.giveMore()
  }

  func sendGradients(_ bucket: Int) throws {
    let nodeCount = context.topology.nodeCount
    for node in 0..<nodeCount {
      sums.write(bucket, node, to: work.pointer + offsets[bucket * nodeCount + node])
    }
    summed[bucket] = 0
    returned[bucket] = 0
    try sendSums(bucket, round: 0)
  }

  func piecesArrived(_ bucket: Int) throws -> Bool {
    while summed[bucket] < roundCount {
      let round = rounds[bucket * roundCount + summed[bucket]]
      guard messages.isKnownComplete(round.gradientIn) else { return false }
      let (target, count) = (work.pointer + round.kept.lowerBound, round.kept.count)
      if let floats = incoming.floats(at: round.received) {
        fw_add(target, floats, count)
      } else {
        incoming.load(to: scratch.pointer, from: round.received, count: count)
        fw_add(target, scratch.pointer, count)
      }
      summed[bucket] += 1
      if summed[bucket] < roundCount { try sendSums(bucket, round: summed[bucket]) }
    }
    return true
  }

  func pieces(_ bucket: Int) -> GradientPieces {
    GradientPieces(pointers: UnsafePointer(workPointers + bucket), count: 1)
  }

  func sendParameters(_ bucket: Int) throws {
    let own = context.topology.node
    let (slice, offset) = (context.slice(bucket, own), offsets[bucket * context.topology.nodeCount + own])
    let y = context.memory.parameters + slice.lowerBound
    wireY.store(y, at: offset, count: slice.count)
    if wireY.type != .float32 { wireY.load(to: y, from: offset, count: slice.count) }
    try sendY(bucket, round: roundCount - 1)
  }

  func parametersArrived(_ bucket: Int) throws -> Bool {
    while returned[bucket] < roundCount {
      let index = bucket * roundCount + roundCount - 1 - returned[bucket]
      guard messages.isKnownComplete(rounds[index].yIn) else { return false }
      returned[bucket] += 1
      if returned[bucket] < roundCount { try sendY(bucket, round: roundCount - 1 - returned[bucket]) }
    }
    let (nodeCount, own) = (context.topology.nodeCount, context.topology.node)
    for node in 0..<nodeCount where node != own {
      let slice = context.slice(bucket, node)
      wireY.load(
        to: context.memory.parameters + slice.lowerBound, from: offsets[bucket * nodeCount + node], count: slice.count)
    }
    return true
  }

  func sendsAreComplete() throws -> Bool {
    try progress()
    return queue.isEmpty && messages.isKnownComplete(sends)
  }

  func sendRest() throws { try queue.giveAll() }

  func free() throws { try messages.free() }

  private func sendSums(_ bucket: Int, round index: Int) throws {
    let round = rounds[bucket * roundCount + index]
    outgoing?.store(work.pointer + round.sent.lowerBound, at: round.sent.lowerBound, count: round.sent.count)
    try queue.send(round.gradientOut, urgency: context.urgency(ofGradient: bucket))
  }

  private func sendY(_ bucket: Int, round index: Int) throws {
    try queue.send(rounds[bucket * roundCount + index].yOut, urgency: context.urgency(ofY: bucket))
  }
}
