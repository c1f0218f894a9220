import Foundation
import TestSupport
import Testing

@testable import Report

@Suite("Pages", .serialized)
struct PageTests {
  @Test("Self-contained, escaped, deterministic, and each plot with its numbers")
  func html() throws {
    let html = Example.page.html
    #expect(html == Example.page.html)
    #expect(html.hasPrefix("<!DOCTYPE html>\n"))
    for forbidden in ["<script", "<link", "<img", "src=", "href=", "@import", "<b>no markup"] {
      #expect(!html.contains(forbidden), "\(forbidden)")
    }
    // The only address is the name of SVG's namespace, which nothing fetches.
    #expect(html.components(separatedBy: "http://www.w3.org/2000/svg").joined().contains("://") == false)
    #expect(html.components(separatedBy: "<svg ").count == 4)
    #expect(html.components(separatedBy: "<details>").count == 4)
    #expect(html.contains("Content-Security-Policy"))
    let ids = html.components(separatedBy: " id=\"").dropFirst().compactMap { $0.split(separator: "\"").first }
    #expect(!ids.isEmpty && Set(ids).count == ids.count, "ids repeat")
  }

  @Test("Tags are closed in order: the page is well-formed but for HTML's elements without an end")
  func wellFormed() throws {
    let text = Example.page.html.replacing("<!DOCTYPE html>\n", with: "")
    let root = try Element.parse(text)
    #expect(root.all.filter { $0.name == "h2" }.map(\.text) == ["Losses"])
    #expect(root.all.filter { $0.name == "figure" }.count == 3)
  }

  /// A browser to look at pages with; nil where none is installed.
  private static let browser: String? = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    .lazy.flatMap { name in
      (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin").split(separator: ":").map { "\($0)/\(name)" }
    }.first { FileManager.default.isExecutableFile(atPath: $0) }

  /// Where a browser must be there, as on a machine that checks changes, a missing one is a failure.
  private static let isRequired = ProcessInfo.processInfo.environment["FREEWHEEL_BROWSER"] == "required"

  @Test(
    "A headless browser lays out axes and legend, in light and in dark, and asks nobody for anything",
    .enabled(if: browser != nil || isRequired, "no browser is installed: chromium or google-chrome in PATH"),
    // Waiting for its turn among the tests that start programs counts.
    .timeLimit(.minutes(15)), arguments: [Scheme(name: "dark", setting: 0), Scheme(name: "light", setting: 1)])
  func rendered(scheme: Scheme) async throws {
    let browser = try #require(Self.browser, "FREEWHEEL_BROWSER is 'required', and no browser is in PATH")
    let folder = NSTemporaryDirectory() + "freewheel-report-" + UUID().uuidString
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let page = folder + "/report.html"
    try probed(Example.page.html).write(toFile: page, atomically: true, encoding: .utf8)
    let flags = [
      "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=\(folder)/profile",
      "--window-size=1000,1400", "--hide-scrollbars", "--force-device-scale-factor=1",
      "--blink-settings=preferredColorScheme=\(scheme.setting)",
    ]
    let dump = try await MPIRunner.runAlone(browser, flags + ["--dump-dom", "file://" + page], timeLimit: .seconds(60))
    #expect(dump.exitCode == 0, "\(dump)")
    let probe = try Probe(in: dump.standardOutput)
    #expect(probe.requests == 0)
    #expect(probe.overflow <= 0, "the page is wider than its window")
    #expect(probe.plots.count == 3)
    for plot in probe.plots {
      #expect(plot.width > 300 && plot.height > 200)
      #expect(plot.legend == 3, "entries of the legend inside the picture")
      #expect(plot.horizontalLabels >= 4 && plot.verticalLabels >= 4)
      #expect(plot.overlaps == 0, "labels that lie over each other")
      #expect(plot.outside == 0, "labels that lie outside the picture")
    }
    let isDark = scheme.name == "dark"
    #expect((probe.ground < 0.2) == isDark && (probe.ground > 0.8) == !isDark, "brightness \(probe.ground)")
    #expect((probe.text > 0.6) == isDark && (probe.page < 0.2) == isDark, "brightness \(probe.text), \(probe.page)")

    let picture = folder + "/page.png"
    let shot = try await MPIRunner.runAlone(
      browser, flags + ["--screenshot=" + picture, "file://" + page], timeLimit: .seconds(60))
    #expect(shot.exitCode == 0, "\(shot)")
    // The width is the first number of the header chunk.
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: picture)))
    #expect(bytes.count > 20_000 && Array(bytes[1..<4]) == Array("PNG".utf8))
    #expect(bytes[16..<20].reduce(0) { $0 << 8 | Int($1) } == 1000)
  }

  /// The page with a script at its end that writes what the browser made of it into the document. The page itself
  /// forbids scripts, so that goes first; without it nothing would keep the page from fetching things either.
  private func probed(_ html: String) -> String {
    let policy = html.components(separatedBy: "\n").filter { !$0.contains("Content-Security-Policy") }
    return policy.joined(separator: "\n").replacing("</body>", with: "<script>\(Probe.script)</script></body>")
  }
}

/// A colour scheme that the reader prefers, and Chromium's number for it.
struct Scheme: Sendable, CustomTestStringConvertible {
  var name: String
  var setting: Int
  var testDescription: String { name }
}

/// What a browser made of a page.
private struct Probe: Decodable {
  struct Plot: Decodable {
    var width: Double
    var height: Double
    var legend: Int
    var horizontalLabels: Int
    var verticalLabels: Int
    var overlaps: Int
    var outside: Int
  }

  var requests: Int
  var overflow: Double
  /// Brightness, 0 to 1, of a plot's ground, of its text and of the page.
  var ground: Double
  var text: Double
  var page: Double
  var plots: [Plot]

  init(in document: String) throws {
    let start = try #require(
      document.range(of: "<pre id=\"probe\">"), "the script did not run: \(document.suffix(500))")
    let end = try #require(document.range(of: "</pre>", range: start.upperBound..<document.endIndex))
    let json = document[start.upperBound..<end.lowerBound]
    self = try JSONDecoder().decode(Probe.self, from: Data(json.utf8))
  }

  static let script = """
    const brightness = color => {
      const parts = color.match(/[0-9.]+/g).map(Number);
      return (0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]) / 255;
    };
    const plots = [...document.querySelectorAll('svg.plot')].map(svg => {
      const box = svg.getBoundingClientRect();
      const boxes = [...svg.querySelectorAll('text')].map(text => text.getBoundingClientRect());
      const inside = b => b.left >= box.left && b.right <= box.right && b.top >= box.top && b.bottom <= box.bottom;
      let overlaps = 0;
      boxes.forEach((a, i) => boxes.slice(i + 1).forEach(b => {
        if (a.left < b.right && b.left < a.right && a.top < b.bottom - 1 && b.top < a.bottom - 1) overlaps += 1;
      }));
      const legend = [...svg.querySelectorAll('.legend text')].map(text => text.getBoundingClientRect());
      return {
        width: box.width, height: box.height, overlaps, outside: boxes.filter(b => !inside(b)).length,
        legend: legend.filter(b => b.width > 0 && inside(b)).length,
        horizontalLabels: svg.querySelectorAll('.x-axis text').length,
        verticalLabels: svg.querySelectorAll('.y-axis text').length,
      };
    });
    const first = document.querySelector('svg.plot');
    const result = {
      requests: performance.getEntriesByType('resource').length,
      overflow: document.documentElement.scrollWidth - window.innerWidth,
      ground: brightness(getComputedStyle(first.querySelector('.ground')).fill),
      text: brightness(getComputedStyle(first.querySelector('.legend text')).fill),
      page: brightness(getComputedStyle(document.body).backgroundColor), plots,
    };
    const pre = document.createElement('pre');
    pre.id = 'probe';
    pre.textContent = JSON.stringify(result);
    document.body.append(pre);
    """
}
