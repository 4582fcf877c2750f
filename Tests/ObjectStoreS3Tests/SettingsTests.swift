import Core
import Foundation
import ObjectStoreS3
import TestSupport
import Testing

@Suite("S3 settings")
struct SettingsTests {
  let keys = ["AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "verysecret"]

  @Test func locations() throws {
    let whole = try S3Settings(location: "s3://my-bucket")
    #expect(whole.bucket == "my-bucket" && whole.prefix == "" && whole.location == "s3://my-bucket")
    let part = try S3Settings(location: "s3://my-bucket/lake/prod//")
    #expect(part.bucket == "my-bucket" && part.prefix == "lake/prod" && part.location == "s3://my-bucket/lake/prod")
    for text in [
      "", "s3:", "s3://", "s3:///x", "http://x", "s3://ab", "s3://Bucket", "s3://-bucket", "s3://buck..et", "s3://bu cket",
      "s3://b@cket",
      "s3://bucket/a//b", "s3://bucket/../x", "s3://bucket/.", "/srv/lake",
    ] { #expect(failure { _ = try S3Settings(location: text) }?.code == .invalidArgument, "\(text)") }
    #expect(
      failure { _ = try S3Settings(location: "bucket/x") }?.message
        == "'bucket/x' is no S3 location; expected s3://BUCKET or s3://BUCKET/PREFIX")
    #expect(failure { _ = try S3Settings(location: "s3://bucket", region: "eu west") }?.code == .invalidArgument)
  }

  @Test func addresses() throws {
    var settings = try S3Settings(location: "s3://my-bucket/p", region: "eu-central-1")
    let amazon = try S3Endpoint(settings)
    #expect(amazon.origin == "https://my-bucket.s3.eu-central-1.amazonaws.com" && amazon.path("a b/ü+") == "/a%20b/%C3%BC%2B")
    #expect(amazon.path(nil) == "/")
    settings.usesPathStyle = true
    #expect(try S3Endpoint(settings).origin == "https://s3.eu-central-1.amazonaws.com")
    #expect(try S3Endpoint(settings).path("k") == "/my-bucket/k" && S3Endpoint(settings).path(nil) == "/my-bucket")
    settings.usesPathStyle = nil
    settings.endpoint = "https://s3.example.com:9000/"
    let own = try S3Endpoint(settings)
    #expect(own.origin == "https://s3.example.com:9000" && own.host == "s3.example.com:9000" && own.bucketPath == "/my-bucket")
    settings.usesPathStyle = false
    #expect(try S3Endpoint(settings).host == "my-bucket.s3.example.com:9000")
    settings.endpoint = "https://s3.example.com:443"
    #expect(try S3Endpoint(settings).host == "my-bucket.s3.example.com")
    #expect(try S3Endpoint(S3Settings(location: "s3://a.b.c")).bucketPath == "/a.b.c")
  }

  @Test func endpointsThatAreRefused() throws {
    var settings = try S3Settings(location: "s3://bucket")
    for text in [
      "example.com", "ftp://x", "https://", "https://user:pass@x", "https://x/path", "https://x?q", "https://x#f",
      "file:///etc/passwd", "http://x",
    ] {
      settings.endpoint = text
      #expect(failure { _ = try S3Endpoint(settings) }?.code == .invalidArgument, "\(text)")
      #expect(failure { _ = try S3Store(settings, environment: keys) }?.code == .invalidArgument, "\(text)")
    }
    settings.endpoint = "http://127.0.0.1:9000"
    #expect(
      failure { _ = try S3Endpoint(settings) }?.message
        == "S3 endpoint 'http://127.0.0.1:9000': plain http is refused, as everybody on the way could read the data; set allow_http: true for a network that you trust"
    )
    settings.allowsHTTP = true
    #expect(try S3Endpoint(settings).origin == "http://127.0.0.1:9000")
  }

  @Test func theEnvironmentCompletes() throws {
    var settings = try S3Settings(location: "s3://bucket")
    #expect(settings.completed(from: ["AWS_ENDPOINT_URL": "https://a"]).endpoint == "https://a")
    #expect(
      settings.completed(from: ["AWS_ENDPOINT_URL": "https://a", "AWS_ENDPOINT_URL_S3": "https://b"]).endpoint == "https://b")
    settings.endpoint = "https://own"
    #expect(settings.completed(from: ["AWS_ENDPOINT_URL": "https://a"]).endpoint == "https://own")
    #expect(S3Settings.region(from: ["AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"]) == "eu-west-1")
  }

  @Test func settingsTravelAsJSON() throws {
    var settings = try S3Settings(location: "s3://bucket/p", region: "eu-west-1", allowsHTTP: true)
    #expect(try S3Settings(json: .object(settings.json)) == settings)
    settings.endpoint = "http://x"
    settings.usesPathStyle = false
    settings.credentialsFile = "/c"
    #expect(try S3Settings(json: .object(settings.json)) == settings)
    #expect(failure { _ = try S3Settings(json: ["location": "s3://bucket"]) }?.code == .invalidArgument)
  }

  @Test func credentialsAreNeverShown() throws {
    let credentials = try S3Credentials(accessKey: "AKIDEXAMPLE", secretKey: "verysecret", sessionToken: "sometoken")
    var dumped = ""
    dump(credentials, to: &dumped)
    for text in [
      "\(credentials)", String(reflecting: credentials), dumped, "\([credentials])", "\(Optional(credentials) as Any)",
    ] {
      for secret in ["AKIDEXAMPLE", "verysecret", "sometoken"] { #expect(!text.contains(secret), "\(text)") }
    }
    let bad = failure { _ = try S3Credentials(accessKey: "AKID", secretKey: "very secret\n") }
    #expect(bad?.message == "S3: the secret key is empty or has characters in it that no secret key has")
  }

  @Test func whereCredentialsComeFrom() throws {
    let settings = try S3Settings(location: "s3://bucket")
    _ = try S3Store(settings, environment: keys)
    #expect(
      failure { _ = try S3Store(settings, environment: [:]) }?.message
        == "S3: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or name a file as storage.credentials"
    )
    #expect(
      failure { _ = try S3Store(settings, environment: ["AWS_ACCESS_KEY_ID": "a"]) }?.message
        == "S3: AWS_ACCESS_KEY_ID is set in the environment, AWS_SECRET_ACCESS_KEY is not")
    let file = NSTemporaryDirectory() + "moonlake-credentials-\(randomUUID())"
    defer { try? FileManager.default.removeItem(atPath: file) }
    try """
    # comment
    [default]
    aws_access_key_id = AK
    aws_secret_access_key=SK=with=equals

    [other]
    aws_access_key_id = AK2
    """.write(toFile: file, atomically: true, encoding: .utf8)
    var named = settings
    named.credentialsFile = file
    _ = try S3Store(named, environment: [:])
    #expect(
      failure { _ = try S3Store(named, environment: ["AWS_PROFILE": "other"]) }?.message
        == "S3: the credentials file '\(file)' has no aws_access_key_id and aws_secret_access_key in a section [other]")
    named.credentialsFile = "/none"
    #expect(failure { _ = try S3Store(named, environment: [:]) }?.message == "S3: the credentials file '/none' cannot be read")
  }
}
