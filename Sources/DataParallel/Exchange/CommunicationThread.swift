import Atomics
import Glibc

/// A thread that communicates while the rank's own thread computes.
///
/// Owned by one object, which ends it with ``stop()`` before the memory goes that the thread works on. Sound as
/// `Sendable`: what threads share here is atomic, but for `failure`, which is written once, before the release of
/// `failed`, and read only after an acquire of it; and for `handle` and `isJoined`, which `stopLock` guards.
final class CommunicationThread: @unchecked Sendable {
  private let stopping = ManagedAtomic(false)
  private let failed = ManagedAtomic(false)
  private var failure: (any Error)?
  private var handle = pthread_t()
  private var isJoined = false
  private var stopLock = pthread_mutex_t()

  /// What the new thread takes with it. Retained for it until it ends.
  private final class Start {
    let thread: CommunicationThread
    let body: (CommunicationThread) throws -> Void

    init(_ thread: CommunicationThread, _ body: @escaping (CommunicationThread) throws -> Void) {
      self.thread = thread
      self.body = body
    }
  }

  /// Starts `body` in a thread. It must return soon after ``isStopping`` has become true. Whatever it refers to is
  /// handed over: until ``stop()`` has returned the caller may touch it only as the two agree by atomics.
  ///
  /// The thread takes no signals: those of the program are for threads that know what to do with them.
  ///
  /// - Throws: ``DataParallelError/noThread(reason:)``.
  init(_ body: @escaping (CommunicationThread) throws -> Void) throws {
    pthread_mutex_init(&stopLock, nil)
    let start = Unmanaged.passRetained(Start(self, body))
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    let code = pthread_create(
      &handle, nil,
      { context in
        guard let context else { return nil }
        let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
        do {
          try start.body(start.thread)
        } catch {
          start.thread.failure = error
          start.thread.failed.store(true, ordering: .releasing)
        }
        return nil
      }, start.toOpaque())
    pthread_sigmask(SIG_SETMASK, &before, nil)
    guard code == 0 else {
      start.release()
      isJoined = true
      throw DataParallelError.noThread(reason: String(cString: strerror(code)))
    }
  }

  deinit { pthread_mutex_destroy(&stopLock) }

  /// Whether the thread's body is to return.
  @inline(__always)
  var isStopping: Bool { stopping.load(ordering: .acquiring) }

  /// Throws what the thread's body has thrown, if it has.
  @inline(__always)
  func rethrow() throws {
    guard failed.load(ordering: .acquiring), let failure else { return }
    throw failure
  }

  /// Ends the thread and waits for its end. From any other thread, any number of times.
  func stop() {
    stopping.store(true, ordering: .releasing)
    pthread_mutex_lock(&stopLock)
    if !isJoined { pthread_join(handle, nil) }
    isJoined = true
    pthread_mutex_unlock(&stopLock)
  }
}
