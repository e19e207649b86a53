use super::*;
use axum::http::{HeaderName, HeaderValue};
use proptest::prelude::*;

fn peer(address: &str, tls: bool) -> Peer {
    Peer { tls, ..Peer::new((address.parse::<IpAddr>().unwrap(), 9).into()) }
}

fn proxies() -> Proxies {
    let trusted = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].map(str::to_owned);
    Proxies { trusted: TrustedProxies::parse(&trusted).unwrap(), ..Proxies::default() }
}

/// `lines` are the lines of a request's head, in their order.
fn client(peer: Peer, lines: &[&str]) -> (Client, Option<ProxyFault>) {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    proxies().client(peer, &headers)
}

const GAP: Option<ProxyFault> = Some(ProxyFault::NoAddress);
const CONTRADICTION: Option<ProxyFault> = Some(ProxyFault::Contradiction);

/// For requests that come from 10.0.0.1.
#[test]
fn the_last_address_that_is_not_trusted_counts() {
    for (lines, address, fault) in [
        (&[][..], "10.0.0.1", None),
        (&["x-forwarded-for: 192.0.2.1"], "192.0.2.1", None),
        // What a client writes stands to the left of what the proxy adds.
        (&["x-forwarded-for: 1.1.1.1, 192.0.2.1"], "192.0.2.1", None),
        (&["x-forwarded-for: 1.1.1.1, 192.0.2.1,10.0.0.2 ,\t10.0.0.3"], "192.0.2.1", None),
        (&["x-forwarded-for: 1.1.1.1, 192.0.2.1", "x-forwarded-for: 10.0.0.2"], "192.0.2.1", None),
        (&["x-forwarded-for: 192.0.2.1", "x-forwarded-for: 192.0.2.2"], "192.0.2.2", None),
        // A client inside: everybody on the way is trusted.
        (&["x-forwarded-for: 10.0.0.9, 10.0.0.2"], "10.0.0.9", None),
        (&["x-forwarded-for: ,192.0.2.1,,"], "192.0.2.1", None),
        (&["x-forwarded-for:"], "10.0.0.1", None),
        // Ports, brackets, IPv6 and IPv4 inside it.
        (&["x-forwarded-for: 192.0.2.1:4711"], "192.0.2.1", None),
        (&["x-forwarded-for: 2001:db8::1"], "2001:db8::1", None),
        (&["x-forwarded-for: [2001:db8::1]"], "2001:db8::1", None),
        (&["x-forwarded-for: [2001:db8::1]:4711"], "2001:db8::1", None),
        (&["x-forwarded-for: ::ffff:192.0.2.1"], "192.0.2.1", None),
        (&["x-forwarded-for: 192.0.2.1, ::ffff:10.0.0.5"], "192.0.2.1", None),
        (&["x-forwarded-for: 192.0.2.1, fd00::1"], "192.0.2.1", None),
        // What is no address ends the way at the last proxy that is known.
        (&["x-forwarded-for: unknown"], "10.0.0.1", GAP),
        (&["x-forwarded-for: 192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2", GAP),
        (&["x-forwarded-for: 192.0.2.1, _hidden"], "10.0.0.1", GAP),
        (&["x-forwarded-for: 192.0.2.1, 10.0.0"], "10.0.0.1", GAP),
        (&["x-forwarded-for: 192.0.2.1, 010.0.0.2"], "10.0.0.1", GAP),
        (&["x-forwarded-for: 192.0.2.1:99999"], "10.0.0.1", GAP),
        (&["x-forwarded-for: 192.0.2.1:"], "10.0.0.1", GAP),
        (&["x-forwarded-for: [2001:db8::1"], "10.0.0.1", GAP),
        (&["x-forwarded-for: [192.0.2.1]"], "10.0.0.1", GAP),
        (&["x-forwarded-for: [2001:db8::1]x"], "10.0.0.1", GAP),
        (&["x-forwarded-for: fe80::1%eth0"], "10.0.0.1", GAP),
        (&["x-forwarded-for: 192.0.2.1 10.0.0.2"], "10.0.0.1", GAP),
        (&["x-forwarded-for: 192.0.2.1, \u{e9}"], "10.0.0.1", GAP),
        // But what a client has written does no harm.
        (&["x-forwarded-for: unknown, \u{e9}, 192.0.2.1"], "192.0.2.1", None),
        (&["forwarded: for=\"\u{e9}\", for=192.0.2.1"], "192.0.2.1", None),
        // The standard's form.
        (&["forwarded: for=192.0.2.1"], "192.0.2.1", None),
        (
            &["Forwarded: For=1.1.1.1, FOR=192.0.2.1;by=10.0.0.1 ; proto=http, for=10.0.0.2"],
            "192.0.2.1",
            None,
        ),
        (&["forwarded: for=\"192.0.2.1:4711\""], "192.0.2.1", None),
        (&["forwarded: for=\"[2001:db8::1]\""], "2001:db8::1", None),
        (&["forwarded: for=\"[2001:db8::1]:_secret\";host=\"a,b;c\""], "2001:db8::1", None),
        (&["forwarded: for=\"\\1\\92.0.2.1\""], "192.0.2.1", None),
        (&["forwarded: for=192.0.2.1:80"], "192.0.2.1", None),
        (&["forwarded: for=1.1.1.1", "forwarded: for=192.0.2.1,for=10.0.0.2"], "192.0.2.1", None),
        (&["forwarded: for=1.1.1.1, proto=https"], "10.0.0.1", None),
        (&["forwarded: for=unknown"], "10.0.0.1", GAP),
        (&["forwarded: for=_hidden;proto=https, for=10.0.0.2"], "10.0.0.2", GAP),
        (&["forwarded: for=192.0.2.1;for=192.0.2.2"], "10.0.0.1", GAP),
        (&["forwarded: for"], "10.0.0.1", GAP),
        (&["forwarded: for=192.0.2.1 proto=http"], "10.0.0.1", GAP),
        (&["forwarded: "], "10.0.0.1", None),
        // A client cannot take in what the proxy adds.
        (&["forwarded: for=1.1.1.1;x=\", for=192.0.2.1"], "10.0.0.1", GAP),
        (&["forwarded: for=1.1.1.1;x=\", for=\"[2001:db8::1]\""], "10.0.0.1", GAP),
        (&["forwarded: for=1.1.1.1;x=\"\\", "forwarded: for=192.0.2.1"], "192.0.2.1", None),
        // Both.
        (&["x-forwarded-for: 192.0.2.1", "forwarded: for=192.0.2.1"], "192.0.2.1", None),
        (&["x-forwarded-for: 192.0.2.1", "forwarded: for=192.0.2.2"], "10.0.0.1", CONTRADICTION),
        (&["x-forwarded-for: 192.0.2.1", "forwarded: for=\""], "10.0.0.1", CONTRADICTION),
        (&["x-forwarded-for: 192.0.2.1", "forwarded: proto=https"], "192.0.2.1", None),
        (&["x-forwarded-proto: https", "forwarded: for=192.0.2.1"], "192.0.2.1", None),
        // Never believed.
        (&["x-forwarded-host: 192.0.2.1", "x-real-ip: 192.0.2.1", "via: 192.0.2.1"], "10.0.0.1", None),
    ] {
        for from in ["10.0.0.1", "::ffff:10.0.0.1"] {
            let (client, found) = client(peer(from, false), lines);
            assert_eq!((client.address.to_string().as_str(), found), (address, fault), "{lines:?}");
        }
    }
}

/// For requests that come from 10.0.0.1, without TLS and with it.
#[test]
fn the_scheme_is_that_of_the_clients_own_connection() {
    const AS_IT_CAME: Option<bool> = None;
    for (lines, is_secure) in [
        (&[][..], AS_IT_CAME),
        (&["x-forwarded-proto: https"], Some(true)),
        (&["x-forwarded-proto: HTTPS"], Some(true)),
        (&["x-forwarded-proto: http"], Some(false)),
        (&["x-forwarded-proto: "], AS_IT_CAME),
        (&["x-forwarded-proto: ftp"], AS_IT_CAME),
        (&["x-forwarded-for: 192.0.2.1"], AS_IT_CAME),
        (&["x-forwarded-for: 192.0.2.1", "x-forwarded-proto: https"], Some(true)),
        // One scheme for the whole way.
        (&["x-forwarded-for: 192.0.2.1, 10.0.0.2", "x-forwarded-proto: https"], Some(true)),
        // One for each address.
        (&["x-forwarded-for: 192.0.2.1, 10.0.0.2", "x-forwarded-proto: https, http"], Some(true)),
        (&["x-forwarded-for: 192.0.2.1, 10.0.0.2", "x-forwarded-proto: http, https"], Some(false)),
        (
            &["x-forwarded-for: 192.0.2.1, 10.0.0.2", "x-forwarded-proto: http", "x-forwarded-proto: https"],
            Some(false),
        ),
        // The client has written the first of each.
        (&["x-forwarded-for: 1.1.1.1, 192.0.2.1", "x-forwarded-proto: https, http"], Some(false)),
        (&["x-forwarded-for: 192.0.2.1", "x-forwarded-proto: https, http"], Some(false)),
        (&["x-forwarded-proto: https, http"], Some(false)),
        (&["forwarded: for=192.0.2.1;proto=https"], Some(true)),
        (&["forwarded: for=192.0.2.1;proto=\"http\""], Some(false)),
        (&["forwarded: proto=https"], Some(true)),
        (&["forwarded: for=1.1.1.1;proto=https, for=192.0.2.1;proto=http"], Some(false)),
        (&["forwarded: for=192.0.2.1;proto=https, for=10.0.0.2;proto=http"], Some(true)),
        (&["forwarded: for=192.0.2.1, for=10.0.0.2;proto=https"], AS_IT_CAME),
        (&["forwarded: for=192.0.2.1;proto=https", "x-forwarded-proto: https"], Some(true)),
        (&["forwarded: for=192.0.2.1", "x-forwarded-proto: https"], Some(true)),
        // Two that contradict each other say nothing.
        (&["forwarded: for=192.0.2.1;proto=https", "x-forwarded-proto: http"], AS_IT_CAME),
        (&["forwarded: for=192.0.2.1;proto=https", "x-forwarded-for: 192.0.2.9"], AS_IT_CAME),
    ] {
        for tls in [false, true] {
            let (client, _) = client(peer("10.0.0.1", tls), lines);
            assert_eq!(client.is_secure, is_secure.unwrap_or(tls), "{lines:?} tls={tls}");
        }
    }
}

#[test]
fn nobody_else_is_believed() {
    let lines =
        ["x-forwarded-for: 192.0.2.1", "x-forwarded-proto: https", "forwarded: for=192.0.2.2;proto=https"];
    for from in ["10.0.0.1", "192.0.2.9", "2001:db8::9"] {
        let trusted = if from == "10.0.0.1" { TrustedProxies::default() } else { proxies().trusted };
        let proxies = Proxies { trusted, ..Proxies::default() };
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        for tls in [false, true] {
            let (client, fault) = proxies.client(peer(from, tls), &headers);
            assert_eq!(client, Client { address: from.parse().unwrap(), is_secure: tls });
            assert_eq!(fault, None);
        }
    }
}

#[test]
fn the_operator_knows_better_whether_clients_use_tls() {
    for known in [false, true] {
        let proxies = Proxies { is_secure: Some(known), ..proxies() };
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-proto", HeaderValue::from_static(if known { "http" } else { "https" }));
        for from in ["10.0.0.1", "192.0.2.1"] {
            assert_eq!(proxies.client(peer(from, !known), &headers).0.is_secure, known);
        }
    }
}

/// What a client may send: much of it means something in these headers.
fn written_by_a_client() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "for=", "proto=", "https", "http", "1.1.1.1", "10.0.0.9", "[::1]", "unknown", "_x", ":80", ",",
            ";", "=", "\"", "\\", " ", "\t",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(prop_oneof![b' '..=b'~', 0x80_u8..=0xff], 0..4),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever a client has written into the headers, it counts as itself, or else as the proxy that it came through:
    /// never as an address of its choice. The proxy at 10.0.0.1 writes one of the two headers, in the line of the client
    /// or in one of its own, and leaves the other as it is.
    #[test]
    fn no_client_chooses_its_address(
        list in prop::option::of(written_by_a_client()),
        standard in prop::option::of(written_by_a_client()),
        scheme in prop::option::of(written_by_a_client()),
        writes_standard in any::<bool>(),
        in_own_line in any::<bool>(),
        is_v6 in any::<bool>(),
    ) {
        let client = if is_v6 { "2001:db8::1" } else { "192.0.2.1" };
        let written = match (writes_standard, is_v6) {
            (false, _) => client.to_owned(),
            (true, false) => format!("for={client};proto=http"),
            (true, true) => format!("for=\"[{client}]:4711\";proto=http"),
        };
        let mut headers = HeaderMap::new();
        for (name, sent, is_written) in [
            ("x-forwarded-for", list, !writes_standard),
            ("forwarded", standard, writes_standard),
            ("x-forwarded-proto", scheme, false),
        ] {
            let name = HeaderName::from_static(name);
            let mut lines: Vec<Vec<u8>> = sent.into_iter().collect();
            if is_written {
                match lines.last_mut().filter(|_| !in_own_line) {
                    Some(line) => line.extend_from_slice(format!(", {written}").as_bytes()),
                    None => lines.push(written.as_bytes().to_vec()),
                }
            }
            for line in lines {
                headers.append(&name, HeaderValue::from_bytes(&line).unwrap());
            }
        }
        let was_silent = !headers.contains_key(if writes_standard { "x-forwarded-for" } else { "forwarded" });
        let (found, fault) = proxies().client(peer("10.0.0.1", false), &headers);
        let found = found.address.to_string();
        if found != client {
            prop_assert_eq!(found.as_str(), "10.0.0.1");
            prop_assert!(fault.is_some());
            // Only a quoted string that does not end can spoil what the proxy adds to the same line.
            prop_assert!(!was_silent || (writes_standard && !in_own_line));
        }
    }
}
