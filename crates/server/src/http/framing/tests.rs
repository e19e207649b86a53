use super::*;
use proptest::prelude::*;

/// What of `sent` is let through in pieces that end at `cuts`, and whether all of it is.
fn passed(sent: &str, cuts: &[usize]) -> (Vec<u8>, bool) {
    let mut framing = Framing::new(1000);
    let mut bytes = sent.as_bytes().to_vec();
    let mut start = 0;
    for &cut in cuts.iter().chain([&sent.len()]) {
        framing.pass(&mut bytes[start..cut]);
        start = cut;
    }
    (bytes, framing.refused().is_none())
}

const POST: &str = "POST /a HTTP/1.1\r\nHost: x\r\n";

#[test]
fn requests_pass_as_they_are() {
    let requests = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "\r\n\r\nGET http://x/ HTTP/1.0\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHOST:\r\nX: \u{e9}\r\n\r\n".to_owned(),
        format!("{POST}Content-Length: 3\r\n\r\nG\n\0"),
        format!("{POST}Content-Length: \t 0003\t \r\n\r\nabc"),
        format!("{POST}Content-Length: 0\r\n\r\n"),
        format!(
            "{POST}transfer-encoding: Chunked\r\n\r\n2\r\n\n\0\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n"
        ),
        format!("{POST}Transfer-Encoding:chunked\r\n\r\n1 ; x\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n"),
    ];
    let all = requests.concat();
    for cut in 0..all.len() {
        assert_eq!(passed(&all, &[cut]), (all.clone().into_bytes(), true), "{cut}");
    }
    let every_byte: Vec<usize> = (0..all.len()).collect();
    assert_eq!(passed(&all, &every_byte), (all.clone().into_bytes(), true));
}

#[test]
fn what_could_be_understood_in_two_ways_is_overwritten() {
    let chunks = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    let faults = [
        "GET / HTTP/1.1\nHost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\n\n".to_owned(),
        "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.2\r\nHost: x\r\n\r\n".to_owned(),
        "GET a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        format!("{POST}X : y\r\n\r\n"),
        format!("{POST}X: y\r\n z\r\n\r\n"),
        format!("{POST}X: y\rz\r\n\r\n"),
        format!("{POST}X\r\n\r\n"),
        format!("{POST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        format!("{POST}Content-Length: 3, 3\r\n\r\nabc"),
        format!("{POST}Content-Length: +3\r\n\r\nabc"),
        format!("{POST}Content-Length:\r\n\r\n"),
        format!("{POST}Content-Length: 9223372036854775808\r\n\r\n"),
        format!("{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        format!("{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("{chunks}1\na\r\n0\r\n\r\n"),
        format!("{chunks}1 \r\na\r\n0\r\n\r\n"),
        format!("{chunks}0x1\r\na\r\n0\r\n\r\n"),
        format!("{chunks}\r\na\r\n0\r\n\r\n"),
        format!("{chunks}1;\0\r\na\r\n0\r\n\r\n"),
        format!("{chunks}1\r\nab\r\n0\r\n\r\n"),
        format!("{chunks}1\r\na\n0\r\n\r\n"),
        format!("{chunks}10000000000000000\r\n\r\n"),
        format!("{chunks}ffffffffffffffff\r\n\r\n"),
        format!("{chunks}0\r\nX: y\n\r\n"),
        format!("{chunks}0\r\nX y\r\n\r\n"),
        format!("{chunks}0\r\n\n"),
    ];
    for fault in &faults {
        let sent = format!("{POST}Content-Length: 1\r\n\r\nx{fault}{POST}\r\n");
        for cut in 0..sent.len() {
            let (bytes, is_whole) = passed(&sent, &[cut]);
            assert!(!is_whole, "{fault:?} passed");
            let good = bytes.iter().take_while(|&&byte| byte != Framing::REFUSAL).count();
            let nul =
                fault.find('\0').map_or(usize::MAX, |at| sent.len() - fault.len() - POST.len() - 2 + at);
            assert!(good < sent.len() - POST.len() - 2, "{fault:?} is to be seen to its end");
            assert!(good >= nul || bytes[good..].iter().all(|&byte| byte == Framing::REFUSAL), "{fault:?}");
        }
    }
}

#[test]
fn heads_chunk_heads_and_trailers_have_a_bound() {
    let chunks = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    for sent in [
        format!("{POST}X: {}", "y".repeat(1000)),
        format!("{chunks}1;{}", "y".repeat(MAX_CHUNK_HEAD_BYTES)),
        format!("{chunks}0\r\n{}", "X: y\r\n".repeat(MAX_TRAILER_BYTES / 6 + 1)),
    ] {
        assert!(!passed(&sent, &[]).1, "{}", &sent[..60]);
        let every_byte: Vec<usize> = (0..sent.len()).collect();
        assert!(!passed(&sent, &every_byte).1);
    }
}

proptest! {
    /// However the bytes come, the same of them pass.
    #[test]
    fn pieces_make_no_difference(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "GET / HTTP/1.1\r\n", "POST /a HTTP/1.1\r\n", "Host: x\r\n", "\r\n", "\n", "\r", "0\r\n", "3\r\n",
                "abc", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", " ", ":", "1;a\r\n", "X: y\r\n",
            ]),
            0..30,
        ),
        cuts in prop::collection::vec(0_usize..200, 0..6),
    ) {
        let sent = parts.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(sent.len())).collect();
        cuts.sort_unstable();
        let (whole, is_whole) = passed(&sent, &[]);
        let (pieces, are_whole) = passed(&sent, &cuts);
        prop_assert_eq!(is_whole, are_whole);
        // A fault is found where its line ends, and overwritten from there, or from the piece that is too long.
        let good = |bytes: &[u8]| bytes.iter().take_while(|&&byte| byte != 0).count();
        prop_assert_eq!(good(&whole), good(&pieces));
    }
}
