internal import COneDNN

extension Plan {
  /// Version of the oneDNN library in use, such as `2.6.3`.
  public static var libraryVersion: String {
    guard let version = dnnl_version()?.pointee else { return "unknown" }
    return "\(version.major).\(version.minor).\(version.patch)"
  }
}
