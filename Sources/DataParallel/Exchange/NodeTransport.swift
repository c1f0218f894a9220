import CKernels
import MPI

/// Where a rank is in a job whose nodes all hold as many ranks, numbered node by node.
struct NodeTopology: Equatable {
  /// Nodes.
  var nodeCount: Int
  /// This rank's node.
  var node: Int
  /// Ranks of a node: a power of two, so that the sum over a node is a subtree of the fixed tree over all ranks.
  var localCount: Int
  /// This rank's number within its node.
  var local: Int

  /// All ranks.
  var rankCount: Int { nodeCount * localCount }

  /// The rank with this rank's local number on another node. Together they move one region of every bucket: the slices
  /// that they own.
  func peer(on node: Int) -> Int { node * localCount + local }
}

/// What a transport works on.
struct TransportContext {
  var topology: NodeTopology
  var layout: BucketLayout
  /// The node's arenas; they outlive the transport.
  var memory: NodeMemory
  var wire: WireType
  /// The ranks of this rank's local number, in the order of the nodes. The communication thread's own.
  var peers: Communicator

  var bucketCount: Int { layout.buckets.count }

  /// The slice of a bucket that this rank's peer on a node owns.
  func slice(_ bucket: Int, _ node: Int) -> Range<Int> {
    layout.slice(bucket: bucket, rank: topology.peer(on: node), of: topology.rankCount)
  }

  // Gradients before y: others need them to go on, and nobody needs the new y yet. And the buckets of the first layers
  // first: they are the last of backward and the first of the next forward pass.

  /// How urgent a bucket's gradients are; see ``SendQueue``.
  func urgency(ofGradient bucket: Int) -> Int { bucketCount + bucket }

  /// How urgent a bucket's y is.
  func urgency(ofY bucket: Int) -> Int { bucket }
}

/// Carries one region of every bucket between nodes: sums over a node to the owners of slices, and new y back.
///
/// Belongs to the communication thread. No method waits or allocates; what is under way moves on in ``progress()``.
/// Within a step each bucket goes through ``sendGradients(_:)``, ``piecesArrived(_:)`` until true, ``pieces(_:)``,
/// ``sendParameters(_:)`` and ``parametersArrived(_:)`` until true.
protocol NodeTransport: AnyObject {
  /// Receives the step's gradients from now on.
  func startGradients() throws

  /// Receives the step's new y from now on.
  func startParameters() throws

  /// Moves messages on, and takes note of those that have arrived.
  func progress() throws

  /// Sums the node's gradients of the region, all of which have been announced, and begins to send the sums.
  func sendGradients(_ bucket: Int) throws

  /// Whether this rank's slice can be summed over the nodes.
  func piecesArrived(_ bucket: Int) throws -> Bool

  /// The pieces of this rank's slice, in the order of the nodes, or their sum. Valid until the next call for another
  /// bucket, or until the next step.
  func pieces(_ bucket: Int) -> GradientPieces

  /// Begins to send this rank's slice of y, which lies in the node's arena; rounds it there to what travels.
  func sendParameters(_ bucket: Int) throws

  /// Whether the slices of all peers lie in the node's arena.
  func parametersArrived(_ bucket: Int) throws -> Bool

  /// Whether nothing that this rank sends is read any more.
  func sendsAreComplete() throws -> Bool

  /// Begins to send what has waited for its turn, before the thread ends.
  func sendRest() throws

  /// Gives MPI's requests back, after the thread has ended.
  func free() throws
}

/// The sums of a node's gradients over the slices of a region.
///
/// Owns its tables; the arenas are the node's.
final class NodeSums {
  private let context: TransportContext
  /// For each bucket and node, one pointer per local rank to the slice in its gradients.
  private let sources: UnsafeMutablePointer<UnsafePointer<Float>>
  private let counts: UnsafeMutablePointer<Int>

  init(_ context: TransportContext) {
    let topology = context.topology
    let sliceCount = max(context.bucketCount * topology.nodeCount, 1)
    self.context = context
    sources = .allocate(capacity: sliceCount * topology.localCount)
    counts = .allocate(capacity: sliceCount)
    for bucket in 0..<context.bucketCount {
      for node in 0..<topology.nodeCount {
        let (entry, slice) = (bucket * topology.nodeCount + node, context.slice(bucket, node))
        (counts + entry).initialize(to: slice.count)
        for local in 0..<topology.localCount {
          (sources + entry * topology.localCount + local).initialize(
            to: UnsafePointer(context.memory.gradients[local] + slice.lowerBound))
        }
      }
    }
  }

  deinit {
    sources.deallocate()
    counts.deallocate()
  }

  /// A lone rank's gradients are the node's sum.
  var areInPlace: Bool { context.topology.localCount == 1 }

  /// The gradient in place, where there is nothing to sum.
  func inPlace(_ bucket: Int, _ node: Int) -> UnsafePointer<Float> {
    sources[bucket * context.topology.nodeCount + node]
  }

  /// Elements of a slice.
  func count(_ bucket: Int, _ node: Int) -> Int { counts[bucket * context.topology.nodeCount + node] }

  /// Writes the sum of the slice that `node` will own.
  func write(_ bucket: Int, _ node: Int, to destination: UnsafeMutablePointer<Float>) {
    let (entry, localCount) = (bucket * context.topology.nodeCount + node, context.topology.localCount)
    fw_sum_tree(destination, sources + entry * localCount, localCount, counts[entry])
  }
}
