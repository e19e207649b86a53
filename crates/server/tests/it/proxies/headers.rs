//! `X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded`.

use super::*;
use ia_testkit::Kit;

async fn failed_login(server: &Behind, from: Ipv4Addr, lines: &str) -> String {
    let answer =
        exchange(connect_from(from, server.api()).await, login("Wrong-horse-1", lines).as_bytes()).await;
    status(&answer).to_owned()
}

#[tokio::test]
async fn failed_logins_count_for_the_client_that_a_proxy_names() {
    let server = Behind::start(&[]).await;
    // What stands to the left of the client is what the client has written itself.
    for lines in [
        "X-Forwarded-For: 192.0.2.1\r\n",
        "X-Forwarded-For: 1.1.1.1, 192.0.2.1:55\r\n",
        "X-Forwarded-For: 1.1.1.2\r\nX-Forwarded-For: ::ffff:192.0.2.1, 10.0.0.7\r\n",
        "Forwarded: for=1.1.1.3, for=\"192.0.2.1:55\"\r\n",
    ]
    .iter()
    .zip(0..)
    {
        let expected = if lines.1 < MAX_FAILURES { "401" } else { "429" };
        assert_eq!(failed_login(&server, PROXY, lines.0).await, expected, "{lines:?}");
    }
    assert_eq!(failed_login(&server, PROXY, "X-Forwarded-For: 192.0.2.2\r\n").await, "401", "another client");
    server.wait_for_log("client=192.0.2.1").await;
    assert!(!server.installation.log_since(0).contains("1.1.1."), "what nobody has vouched for");

    // Somebody who is no proxy cannot choose an address, nor use up another's failures.
    for attempt in 0..4 {
        let expected = if attempt < MAX_FAILURES { "401" } else { "429" };
        let lines = format!("X-Forwarded-For: 192.0.2.{}\r\nForwarded: for=192.0.2.3\r\n", 100 + attempt);
        assert_eq!(failed_login(&server, STRANGER, &lines).await, expected);
    }
    server.wait_for_log("client=127.0.0.2").await;
    assert_eq!(failed_login(&server, PROXY, "X-Forwarded-For: 192.0.2.3\r\n").await, "401");

    // Behind a proxy that writes one of the two headers, a client that writes the other one is not believed.
    assert_eq!(server.faults("contradiction").await, 0.0);
    for attempt in 0..4 {
        let expected = if attempt < MAX_FAILURES { "401" } else { "429" };
        let lines = format!("Forwarded: for=192.0.2.{}\r\nX-Forwarded-For: 192.0.2.4\r\n", 100 + attempt);
        assert_eq!(failed_login(&server, PROXY, &lines).await, expected);
    }
    assert_eq!(server.faults("contradiction").await, 4.0);
    server.wait_for_log("name different clients").await;
    assert_eq!(server.faults("no_address").await, 0.0);
    assert_eq!(failed_login(&server, PROXY, "X-Forwarded-For: unknown\r\n").await, "429");
    assert_eq!(server.faults("no_address").await, 1.0);
    server.server.kill().await;
}

#[tokio::test]
async fn cookies_are_secure_if_the_client_came_over_tls() {
    let server = Behind::start(&[]).await;
    for (from, lines, is_secure) in [
        (PROXY, "X-Forwarded-Proto: https\r\n", true),
        (PROXY, "Forwarded: for=192.0.2.1;proto=https\r\n", true),
        (PROXY, "X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\nX-Forwarded-Proto: https, http\r\n", true),
        (PROXY, "X-Forwarded-Proto: http\r\n", false),
        (PROXY, "X-Forwarded-For: 192.0.2.1\r\n", false),
        (STRANGER, "X-Forwarded-Proto: https\r\nForwarded: proto=https\r\n", false),
    ] {
        let send = async |request: String| {
            exchange(connect_from(from, server.api()).await, request.as_bytes()).await
        };
        let token = send(login(ia_testkit::PASSWORD, lines)).await;
        let pixel =
            send(format!("GET /getuidj HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n")).await;
        let page = send(format!("GET /optout HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n")).await;
        for answer in [token, page] {
            assert_eq!(status(&answer), "200");
            assert_eq!(answer.contains("SameSite=Strict; Secure\r\n"), is_secure, "{from} {lines} {answer}");
        }
        assert_eq!(pixel.contains("SameSite=None; Secure\r\n"), is_secure, "{from} {lines} {pixel}");
        assert_eq!(pixel.contains("SameSite=Lax\r\n"), !is_secure, "{from} {lines} {pixel}");
    }
    server.server.kill().await;

    let server = Behind::start(&[("HTTP__CLIENTS_USE_TLS", "always")]).await;
    let request = login(ia_testkit::PASSWORD, "X-Forwarded-Proto: http\r\n");
    let answer = exchange(connect_from(STRANGER, server.api()).await, request.as_bytes()).await;
    assert!(answer.contains("SameSite=Strict; Secure\r\n"), "{answer}");
    server.server.kill().await;
}

#[tokio::test]
async fn pixels_count_for_the_client_that_a_proxy_names() {
    let kit = Kit::builder()
        .config(|config| {
            config.http.trusted_proxies.0 = vec!["127.0.0.1".to_owned()];
            config.pixels.enabled = true;
            config.pixels.requests_per_second_per_address = 1;
        })
        .start()
        .await;
    // The clock of a kit stands still.
    let call = async |client: &str| {
        let headers = [("x-forwarded-for", client)];
        kit.anonymous()
            .send(hyper::Method::GET, "/getuidj", &headers, bytes::Bytes::new())
            .await
            .status
            .as_u16()
    };
    for (client, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("9.9.9.9, 192.0.2.1", 429),
        ("192.0.2.1, 192.0.2.2", 200),
        // All of a /64 are one client.
        ("2001:db8::1", 200),
        ("[2001:db8::2]:80", 429),
    ] {
        assert_eq!(call(client).await, status, "{client}");
    }
}

#[tokio::test]
async fn each_request_of_a_connection_has_its_own_client() {
    let server = Behind::start(&[]).await;
    let stream = connect_from(PROXY, server.api()).await;
    let (executor, io) = (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    for (client, expected) in
        [("192.0.2.1", 401), ("192.0.2.1", 401), ("192.0.2.1", 429), ("192.0.2.2", 401), ("192.0.2.1", 429)]
    {
        let body = json!({"auth": {"username": "provider", "password": "Wrong-horse-1"}}).to_string();
        let request = hyper::Request::post(format!("http://{}/auth", server.api()))
            .header("x-forwarded-for", client)
            .body(http_body_util::Full::new(bytes::Bytes::from(body)))
            .unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), expected, "{client}");
    }
    let mut stream = connect_from(PROXY, server.api()).await;
    for client in ["192.0.2.5", "192.0.2.6"] {
        let request = format!("GET /user-segment HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        server.wait_for_log(&format!("client={client} ")).await;
    }
    server.server.kill().await;
}

#[test]
fn the_settings_are_shown_and_checked() {
    let dir = TempDir::new().unwrap();
    let check = |text: &str| {
        std::fs::write(dir.path().join("ia.toml"), text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_instant-audience"));
        let output =
            command.args(["check-config", "--config", "ia.toml"]).current_dir(dir.path()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let (is_good, shown) = check("");
    for line in ["trusted_proxies = []", "proxy_protocol = false", "clients_use_tls = \"auto\""] {
        assert!(is_good && shown.contains(line), "{line}: {shown}");
    }
    assert!(!shown.contains("secure_cookies"), "{shown}");
    let (is_good, shown) =
        check("[http]\nproxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n");
    assert!(is_good && shown.contains("10.0.0.0/8") && shown.contains("proxy_protocol = true"), "{shown}");
    for (text, words) in [
        ("[http]\nproxy_protocol = true\n", "http.proxy_protocol without http.trusted_proxies"),
        ("[http]\ntrusted_proxies = [\"10.0.0.1/8\"]\n", "write 10.0.0.0/8"),
        ("[http]\ntrusted_proxies = [\"0.0.0.0/0\"]\n", "everybody"),
        ("[http]\ntrusted_proxies = [\"lb.example.com\"]\n", "lb.example.com"),
        ("[pixels]\nsecure_cookies = \"always\"\n", "http.clients_use_tls"),
    ] {
        let (is_good, shown) = check(text);
        assert!(!is_good && shown.contains(words), "{text}: {shown}");
    }
}
