import Testing

@testable import ScheduleFree
