import Core
import ObjectStoreS3
import Testing

/// A published request and its signature.
struct SignatureCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let signature: String
  let canonicalHash: String
  let make: @Sendable () -> SignatureV4.Parts
}

/// "Examples: Signature Calculations" in docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
let documented: [SignatureCase] = {
  let host = ("host", "examplebucket.s3.amazonaws.com")
  let date = ("x-amz-date", "20130524T000000Z")
  let empty = ("x-amz-content-sha256", SignatureV4.emptyHash)
  return [
    SignatureCase(
      testDescription: "GET object with a range", signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
      canonicalHash: "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
    ) {
      SignatureV4.Parts(
        method: "GET", path: "/test.txt", fields: [date, ("range", "bytes=0-9"), host, empty], bodyHash: SignatureV4.emptyHash)
    },
    SignatureCase(
      testDescription: "PUT object", signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
      canonicalHash: "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d"
    ) {
      let hash = SignatureV4.hash(Array("Welcome to Amazon S3.".utf8))
      return SignatureV4.Parts(
        method: "PUT", path: "/test%24file.text",
        fields: [
          ("x-amz-storage-class", "REDUCED_REDUNDANCY"), host, date, ("x-amz-content-sha256", hash),
          ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        ], bodyHash: hash)
    },
    SignatureCase(
      testDescription: "GET bucket lifecycle", signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
      canonicalHash: "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca"
    ) {
      SignatureV4.Parts(
        method: "GET", path: "/", query: [("lifecycle", "")], fields: [host, date, empty], bodyHash: SignatureV4.emptyHash)
    },
    SignatureCase(
      testDescription: "GET bucket, a list", signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
      canonicalHash: "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7"
    ) {
      SignatureV4.Parts(
        method: "GET", path: "/", query: [("prefix", "J"), ("max-keys", "2")], fields: [host, date, empty],
        bodyHash: SignatureV4.emptyHash)
    },
  ]
}()

/// The AWS Signature Version 4 test suite (aws-sig-v4-test-suite): get-vanilla, get-vanilla-query-order-key-case, get-utf8.
let suite: [SignatureCase] = {
  let fields = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")]
  func get(_ name: String, _ path: String, _ query: [(String, String)], _ signature: String, _ hash: String) -> SignatureCase {
    SignatureCase(testDescription: name, signature: signature, canonicalHash: hash) {
      SignatureV4.Parts(
        method: "GET", path: path, query: query.map { (name: $0.0, value: $0.1) },
        fields: fields.map { (name: $0.0, value: $0.1) }, bodyHash: SignatureV4.emptyHash)
    }
  }
  return [
    get(
      "get-vanilla", "/", [], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
      "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63"),
    get(
      "get-vanilla-query-order-key-case", "/", [("Param2", "value2"), ("Param1", "value1")],
      "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
      "816cd5b414d056048ba4f7c5386d6e0533120fb1fcfa93762cf0fc39e2cf19e0"),
    get(
      "get-utf8", "/%E1%88%B4", [], "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
      "2a0a97d02205e45ce2e994789806b19270cfbbb0921b278ccf58f5249ac42102"),
  ]
}()

@Suite("SignatureV4")
struct SignatureTests {
  @Test(arguments: documented) func documentedExamples(_ example: SignatureCase) throws {
    let keys = try S3Credentials(accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    let parts = example.make()
    #expect(SignatureV4.hash(Array(SignatureV4.canonical(parts).utf8)) == example.canonicalHash)
    let time = try #require(Instant("2013-05-24T00:00:00Z"))
    let value = SignatureV4(region: "us-east-1").authorization(parts, keys, at: time)
    #expect(
      value.hasPrefix("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders="))
    #expect(value.hasSuffix(", Signature=" + example.signature))
  }

  @Test(arguments: suite) func testSuite(_ example: SignatureCase) throws {
    let keys = try S3Credentials(accessKey: "AKIDEXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    let parts = example.make()
    #expect(SignatureV4.hash(Array(SignatureV4.canonical(parts).utf8)) == example.canonicalHash)
    let time = try #require(Instant("2015-08-30T12:36:00Z"))
    #expect(
      SignatureV4(region: "us-east-1", service: "service").authorization(parts, keys, at: time)
        == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature="
        + example.signature)
  }

  @Test func canonicalRequestToTheLetter() {
    let parts = SignatureV4.Parts(
      method: "GET", path: "/a%20b/c", query: [("prefix", "x/y z+"), ("delimiter", "/"), ("a", "ä")],
      fields: [("x-amz-date", "20130524T000000Z"), ("host", "h:9000"), ("x-note", "  two   blanks ")], bodyHash: "HASH")
    #expect(
      SignatureV4.canonical(parts) == """
        GET
        /a%20b/c
        a=%C3%A4&delimiter=%2F&prefix=x%2Fy%20z%2B
        host:h:9000
        x-amz-date:20130524T000000Z
        x-note:two blanks

        host;x-amz-date;x-note
        HASH
        """)
  }
}
