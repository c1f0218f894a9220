import Foundation
import Training

/// A network between hosts, as someone states it.
struct NetworkFigures: Encodable, Equatable {
  /// Seconds that a small message takes.
  var latency: Double
  /// Bytes a second of a host's link, in each direction; infinite: as much as the processors can move.
  var bandwidth: Double
  /// Seconds of a core that a byte costs who sends it, and again who receives it.
  var processorSecondsPerByte: Double
  /// The part of a link's bits that is payload: the rest are headers.
  static let payload = 0.95
}

/// How gradients travel, as far as time is concerned.
enum EstimatedExchange: String, CaseIterable, Encodable {
  case twoLevel = "two-level"
  case flat
  case allreduce
}

/// A job whose step is to be estimated.
struct JobShape: Encodable, Equatable {
  var nodes: Int
  var ranksPerNode: Int
  var exchange: EstimatedExchange
  /// Bytes of a number between nodes.
  var wireBytes: Int
  var coresPerRank: Double

  var ranks: Int { nodes * ranksPerNode }
}

/// Where the time of an estimated step goes, in seconds. The first five add up to it.
struct StepEstimate: Encodable, Equatable {
  var compute = 0.0
  var data = 0.0
  var update = 0.0
  /// Communication that nothing hides.
  var exposed = 0.0
  /// Waiting for the slowest rank, and what else was measured.
  var other = 0.0
  /// How long messages take in all, hidden or not.
  var communication = 0.0
  /// Bytes that a host sends in a step.
  var bytesPerNode = 0.0

  var step: Double { compute + data + update + exposed + other }
  /// The part of communication behind computing; 1 where there is none to hide.
  var hidden: Double { communication > 0 ? max(0, 1 - exposed / communication) : 1 }
}

/// What a step would take on other hosts: arithmetic on a measured one.
///
/// Computing takes as long as it did; a rank with less of a core than was measured takes longer. Updates are divided by
/// the number of ranks. Messages take latency and the time of their bytes on a host's link, which all its ranks share,
/// or the time in which processors move the bytes, whichever is longer. In two levels what travels during backward and
/// the next forward pass is hidden: steps are played through with one queue a link until they repeat.
struct StepModel {
  let profile: StepProfile
  /// Seconds of a step beside forward and backward, as measured.
  var data = 0.0, update = 0.0, other = 0.0
  var network: NetworkFigures

  private var elements: Double { Double(profile.bucketElements.reduce(0, +)) }
  /// Seconds of a core that the update of an element takes.
  private var updatePerElement: Double { elements > 0 ? update * Double(profile.ranks) / elements : 0 }

  func estimate(_ job: JobShape) -> StepEstimate {
    // Compute was measured by ranks with so much of a core each.
    let stretch = max(1, 1 / job.coresPerRank) / max(1, 1 / profile.coresPerRank)
    switch (job.nodes, job.exchange) {
    case (1, .twoLevel): return alone(job, stretch)
    case (_, .twoLevel): return overlapping(job, stretch)
    case (_, .flat), (_, .allreduce): return blocking(job, stretch)
    }
  }

  /// What does not depend on the exchange.
  private func alone(_ job: JobShape, _ stretch: Double) -> StepEstimate {
    StepEstimate(
      compute: (profile.forward + profile.backward) * stretch, data: data * stretch,
      update: updatePerElement * elements / Double(job.ranks) * stretch, other: other * stretch)
  }

  /// Seconds that a host's link is busy with bytes that it sends.
  private func link(_ bytes: Double) -> Double { bytes / (network.bandwidth * NetworkFigures.payload) }

  // MARK: - Exchange when backward has finished

  private func blocking(_ job: JobShape, _ stretch: Double) -> StepEstimate {
    var estimate = alone(job, stretch)
    let (ranks, perNode) = (Double(job.ranks), Double(job.ranksPerNode))
    guard job.ranks > 1 else { return estimate }
    let latency = job.nodes > 1 ? network.latency : 0
    // A small all-reduce, in which ranks agree whether to stop.
    estimate.exposed = latency * log2(ranks).rounded(.up)
    for count in profile.bucketElements {
      let bytes = 4 * Double(count)
      // Sent by a rank to gather the parts of all, from neighbour to neighbour.
      let gathered = bytes * (ranks - 1) / ranks
      var sent = gathered
      var overLink = job.nodes > 1 ? gathered : 0
      var rounds = ranks - 1
      switch job.exchange {
      case .allreduce:
        sent += 2 * gathered
        overLink += job.nodes > 1 ? 2 * gathered : 0
        rounds += 2 * (ranks - 1)
      case .flat, .twoLevel:
        sent += gathered
        overLink += bytes * perNode * (ranks - perNode) / ranks
        rounds += 1
      }
      let moving = 2 * sent * network.processorSecondsPerByte * stretch
      estimate.exposed += rounds * latency + max(link(overLink), moving)
      estimate.bytesPerNode += overLink
    }
    estimate.communication = estimate.exposed
    return estimate
  }

  // MARK: - Exchange behind backward and the next forward pass

  /// A message on its way.
  private struct Transfer {
    var available: Double
    let bucket: Int
    let isGradient: Bool

    func urgency(of bucketCount: Int) -> Int { bucket + (isGradient ? bucketCount : 0) }
  }

  private func overlapping(_ job: JobShape, _ stretch: Double) -> StepEstimate {
    var estimate = alone(job, stretch)
    let nodes = Double(job.nodes)
    let bytes = profile.bucketElements.map { Double($0 * job.wireBytes) * (nodes - 1) / nodes }
    let moving = bytes.map { 2 * $0 / Double(job.ranksPerNode) * network.processorSecondsPerByte * stretch }
    let transfer = zip(bytes, moving).map { max(link($0), $1) }
    let updates = profile.bucketElements.map { updatePerElement * Double($0) / Double(job.ranks) * stretch }
    estimate.communication = transfer.reduce(0) { $0 + 2 * ($1 + network.latency) }
    estimate.bytesPerNode = 2 * bytes.reduce(0, +)
    // A communication thread without a core of its own takes time from the one that computes.
    let own = 2 * moving.reduce(0, +) + updates.reduce(0, +)
    let compute = profile.forward + profile.backward
    let taken = job.coresPerRank >= 2 ? 0 : own
    let slower = compute > 0 ? stretch + taken / compute : stretch
    let (forward, backward) = (profile.forward * slower, profile.backward * slower)
    let announced = profile.announced.map { min($0 * slower, backward) }

    var now = 0.0
    var linkFree = 0.0
    var published = bytes.map { _ in 0.0 }
    var step = 0.0
    for _ in 0..<12 {
      let begin = now
      now += data * stretch
      // The layers that backward finishes last are the first of the forward pass.
      var waited = 0.0
      for bucket in bytes.indices.reversed() {
        let need = now + forward * (backward > 0 ? 1 - announced[bucket] / backward : 0) + waited
        waited += max(0, published[bucket] - need)
      }
      now = max(now + forward + waited, published.max() ?? 0)
      published = exchange(
        ready: announced.map { now + $0 }, transfer: transfer, updates: updates, linkFree: &linkFree)
      // Whether to stop is agreed on by a message there and back.
      now += backward + 2 * network.latency + other * stretch
      step = now - begin
    }
    estimate.update = 0
    // The update is the communication thread's: it is part of what is hidden, or not.
    if taken > 0 { estimate.update = min(updates.reduce(0, +), max(0, step - estimate.step)) }
    estimate.exposed = max(0, step - estimate.step)
    return estimate
  }

  /// When the new parameters of each bucket are there, if its gradients are ready at given times.
  private func exchange(
    ready: [Double], transfer: [Double], updates: [Double], linkFree: inout Double
  ) -> [Double] {
    var waiting = ready.enumerated().map { Transfer(available: $1, bucket: $0, isGradient: true) }
    var published = ready
    var updaterFree = 0.0
    while !waiting.isEmpty {
      // Of those that came while the link was busy, gradients first, and what the next forward pass needs first.
      let start = max(linkFree, waiting.map(\.available).min() ?? 0)
      let next =
        waiting.indices.filter { waiting[$0].available <= start }
        .max { waiting[$0].urgency(of: ready.count) < waiting[$1].urgency(of: ready.count) } ?? 0
      let job = waiting.remove(at: next)
      linkFree = start + transfer[job.bucket]
      let arrived = linkFree + network.latency
      if job.isGradient {
        updaterFree = max(updaterFree, arrived) + updates[job.bucket]
        waiting.append(Transfer(available: updaterFree, bucket: job.bucket, isGradient: false))
      } else {
        published[job.bucket] = arrived
      }
    }
    return published
  }
}
