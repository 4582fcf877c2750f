import Core
import ObjectStoreS3
import TestSupport
import Testing

@Suite("S3 answers")
struct AnswerTests {
  func parse(_ text: String) throws -> S3XML { try S3XML(parsing: Array(text.utf8)) }

  @Test func aListing() throws {
    let xml = try parse(
      """
      <?xml version="1.0" encoding="UTF-8"?>
      <!-- a comment -->
      <s3:ListBucketResult xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/" other='x > y'>
        <s3:Name>bucket</s3:Name><Prefix/>
        <Contents><Key>a&amp;b&lt;&gt;&quot;&apos;&#xe4;&#10;ü</Key><Size>12</Size></Contents>
        <Contents><Key>c</Key></Contents>
      </s3:ListBucketResult>

      """)
    #expect(xml.name == "ListBucketResult" && xml.text("Name") == "bucket" && xml.text("Prefix") == "")
    #expect(xml.all("Contents").map { $0.text("Key") } == ["a&b<>\"'ä\nü", "c"])
    #expect(xml.all("Contents")[0].text("Size") == "12" && xml.text("None") == nil)
  }

  @Test func whatIsRefused() {
    let deep = String(repeating: "<a>", count: 40) + String(repeating: "</a>", count: 40)
    for text in [
      "", "text", "<a>", "<a></b>", "<a><b></a></b>", "<a/><b/>", "<a/>x", "<a x></a>", "<a x=1></a>", "<a x=\"<\"></a>",
      "<a x=\"",
      "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<a><!DOCTYPE b></a>", "<a><![CDATA[x]]></a>", "<a><?php x?></a>",
      "<a>&x;</a>",
      "<a>&#0;</a>", "<a>&#xd800;</a>", "<a>&#-5;</a>", "<a>&amp</a>", "<a>&averylongreference;</a>", "< a/>", "<a", "<",
      "<?xml", deep,
    ] { #expect(failure { _ = try parse(text) }?.code == .corruptData, "\(text)") }
    #expect(failure { _ = try S3XML(parsing: [0x3c, 0x61, 0x3e, 0xff, 0x3c, 0x2f, 0x61, 0x3e]) }?.code == .corruptData)
    #expect(
      failure { _ = try parse("<a></b>") }?.message
        == "the server's XML answer is not understood: </a> expected at byte 6")
  }

  @Test func manyElementsAreRefused() {
    let text = "<a>" + String(repeating: "<b/>", count: 200_001) + "</a>"
    #expect(failure { _ = try parse(text) }?.message.contains("too many elements") == true)
  }

  @Test func everyCutOfAnAnswerIsAnError() throws {
    let whole = Array("<?xml version=\"1.0\"?><A b=\"c\"><D>x&amp;y</D><!-- z --><E/></A>".utf8)
    _ = try S3XML(parsing: whole)
    for count in 0..<whole.count {
      #expect(failure { _ = try S3XML(parsing: Array(whole[..<count])) }?.code == .corruptData, "\(count) bytes")
    }
  }

  @Test func dates() {
    #expect(HTTPDate.parse("Fri, 24 May 2013 00:00:00 GMT")?.description == "2013-05-24T00:00:00Z")
    #expect(HTTPDate.parse("Tue, 24 Nov 2026 03:41:18 GMT")?.description == "2026-11-24T03:41:18Z")
    for text in [
      "", "24 May 2013", "Fri, 24 May 2013 00:00:00", "Fri, 32 May 2013 00:00:00 GMT", "Fri, 24 Mai 2013 00:00:00 GMT",
      "Fri, 24 May 2013 24:00:00 GMT", "Fri, 24 May 2013 00:60:00 GMT", "Friday, 24-May-13 00:00:00 GMT",
      "Fri, -4 May 2013 00:00:00 GMT",
    ] { #expect(HTTPDate.parse(text) == nil, "\(text)") }
  }
}
