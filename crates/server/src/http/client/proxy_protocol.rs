//! The header of the PROXY protocol, version 2, with which a proxy begins a connection to tell who is at its other end:
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

/// The type of the part about TLS, and the bit in it that tells of a client that came over TLS.
const TYPE_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Header {
    /// Where the client is; `None` if that is the other end of this connection, as for a health check, or no address.
    pub(crate) address: Option<IpAddr>,
    /// Whether the client speaks TLS with the proxy.
    pub(crate) tls: bool,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoHeader {
    /// The connection begins with something else.
    #[error("no PROXY protocol header of version 2")]
    Missing,
    /// Its content makes no sense.
    #[error("a malformed PROXY protocol header")]
    Malformed,
    /// The connection has failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header, and no byte after it. What is no header is refused at its first wrong byte. `None` if the
/// connection ends before its first byte, as those that only look whether the port is open.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Header>, NoHeader> {
    let mut fixed = [0; FIXED_BYTES];
    let mut length = 0;
    while length < FIXED_BYTES {
        match stream.read(&mut fixed[length..]).await? {
            0 if length == 0 => return Ok(None),
            0 => return Err(NoHeader::Missing),
            read => length += read,
        }
        let compared = length.min(SIGNATURE.len());
        if fixed[..compared] != SIGNATURE[..compared] {
            return Err(NoHeader::Missing);
        }
    }
    let [.., version_and_command, family, high, low] = fixed;
    let mut rest = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    stream.read_exact(&mut rest).await?;
    parse(version_and_command, family, &rest).map(Some).ok_or(NoHeader::Malformed)
}

/// The header of which `rest` follows the fixed bytes; `None` if it makes no sense.
fn parse(version_and_command: u8, family: u8, rest: &[u8]) -> Option<Header> {
    match version_and_command {
        // The proxy speaks for itself. What follows must be skipped, whatever it is.
        0x20 => return Some(Header::default()),
        0x21 => {}
        _ => return None,
    }
    // The lower half is the transport: a client that came by UDP is as good, because HTTP/3 is UDP.
    let (address, address_bytes) = match family {
        0x00 => (None, 0),
        0x11 | 0x12 => (Some(IpAddr::V4(Ipv4Addr::from(*rest.first_chunk::<4>()?))), 12),
        0x21 | 0x22 => (Some(IpAddr::V6(Ipv6Addr::from(*rest.first_chunk::<16>()?))), 36),
        // A socket of the proxy's machine.
        0x31 | 0x32 => (None, 216),
        _ => return None,
    };
    let mut parts = rest.get(address_bytes..)?;
    let mut tls = false;
    while let [kind, high, low, following @ ..] = parts {
        let (value, following) =
            following.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        if *kind == TYPE_SSL {
            tls = value.first()? & CLIENT_SSL != 0;
        }
        parts = following;
    }
    parts.is_empty().then_some(Header { address: address.map(|address| address.to_canonical()), tls })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;

    const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];

    fn header(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[version_and_command, family][..], &length, rest].concat()
    }

    /// What is read of bytes that come in two pieces, and how many are left.
    fn read_in_two(bytes: &[u8], cut: usize) -> (Result<Option<Header>, NoHeader>, usize) {
        let (first, second) = bytes.split_at(cut);
        let mut stream = first.chain(second);
        let found = read(&mut stream).now_or_never().expect("slices never wait");
        let (first, second) = stream.into_inner();
        (found, first.len() + second.len())
    }

    /// The same for bytes with more after them, cut anywhere.
    fn read_anyhow(bytes: &[u8]) -> Result<Option<Header>, NoHeader> {
        let sent = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        for cut in 0..sent.len() {
            let (found, rest) = read_in_two(&sent, cut);
            if found.is_ok() {
                assert_eq!(rest, sent.len() - bytes.len(), "exactly the header is taken");
            }
            if cut + 1 == sent.len() {
                return found;
            }
        }
        unreachable!("something was sent");
    }

    #[test]
    fn a_header_tells_where_the_client_is_and_whether_it_uses_tls() {
        let v6 = [&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets()[..], &[0; 16], &[0; 4]].concat();
        let mapped = [&"::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets()[..], &[0; 20]].concat();
        let ssl = |client: u8| [&[TYPE_SSL, 0, 5, client, 0, 0, 0, 0][..]].concat();
        let noise = [&[0x04, 0, 2, 9, 9][..], &[0xea, 1, 0], &[1; 256], &[0x03, 0, 0]].concat();
        for (family, rest, address, tls) in [
            (0x11, V4.to_vec(), Some("192.0.2.1"), false),
            (0x12, V4.to_vec(), Some("192.0.2.1"), false),
            (0x21, v6.clone(), Some("2001:db8::1"), false),
            (0x22, v6.clone(), Some("2001:db8::1"), false),
            (0x21, mapped, Some("192.0.2.1"), false),
            (0x00, Vec::new(), None, false),
            (0x31, vec![b'/'; 216], None, false),
            (0x11, [&V4[..], &noise].concat(), Some("192.0.2.1"), false),
            (0x11, [&V4[..], &noise, &ssl(1), &noise].concat(), Some("192.0.2.1"), true),
            (0x11, [&V4[..], &ssl(7)].concat(), Some("192.0.2.1"), true),
            // TLS without the client's side of it.
            (0x11, [&V4[..], &ssl(6)].concat(), Some("192.0.2.1"), false),
            (0x21, [&v6[..], &ssl(1)].concat(), Some("2001:db8::1"), true),
            (0x31, [vec![b'/'; 216], ssl(1)].concat(), None, true),
        ] {
            let found = read_anyhow(&header(0x21, family, &rest)).unwrap().unwrap();
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!(found, Header { address, tls }, "{family:#x} {rest:?}");
        }
        // What a proxy says of itself is skipped, whatever it is.
        for (family, rest) in [(0x00, &[][..]), (0x11, &V4), (0x11, &[1, 2, 3]), (0xff, &[TYPE_SSL; 99])] {
            assert_eq!(read_anyhow(&header(0x20, family, rest)).unwrap(), Some(Header::default()));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for (version_and_command, family, rest) in [
            (0x11, 0x11, &V4[..]),
            (0x22, 0x11, &V4),
            (0x2f, 0x11, &V4),
            (0x21, 0x41, &V4),
            (0x21, 0x13, &V4),
            (0x21, 0x01, &V4),
            (0x21, 0x11, &V4[..11]),
            (0x21, 0x11, &[]),
            (0x21, 0x21, &V4),
            (0x21, 0x31, &V4),
            // Parts that are cut off or too long.
            (0x21, 0x00, &[4]),
            (0x21, 0x00, &[4, 0]),
            (0x21, 0x00, &[4, 0, 1]),
            (0x21, 0x00, &[4, 0xff, 0xff, 1]),
            (0x21, 0x00, &[TYPE_SSL, 0, 0]),
        ] {
            let found = read_anyhow(&header(version_and_command, family, rest));
            assert!(matches!(found, Err(NoHeader::Malformed)), "{family:#x} {rest:?}: {found:?}");
        }
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n",
            b"\x16\x03\x01\x00\xa5",
            b"\r\n\r\n\0\r\nQUIT\r",
            b"\r\nG",
        ] {
            // Without waiting for more than it takes to tell.
            let found = read_in_two(bytes, bytes.len() / 2).0;
            assert!(matches!(found, Err(NoHeader::Missing)), "{bytes:?}: {found:?}");
        }
        assert!(matches!(read_in_two(b"", 0).0, Ok(None)), "a look whether the port is open");
        let whole = header(0x21, 0x11, &V4);
        for length in 1..whole.len() {
            assert!(read_in_two(&whole[..length], length / 2).0.is_err(), "{length} bytes of it");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_however_they_come(
            version_and_command in prop_oneof![Just(0x20_u8), Just(0x21), any::<u8>()],
            family in prop_oneof![Just(0x00_u8), Just(0x11), Just(0x21), Just(0x31), any::<u8>()],
            rest in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(TYPE_SSL), any::<u8>()], 0..300),
            after in prop::collection::vec(any::<u8>(), 0..20),
            broken in prop::option::of((0_usize..16, any::<u8>())),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = [header(version_and_command, family, &rest), after.clone()].concat();
            if let Some((at, byte)) = broken {
                bytes[at] = byte;
            }
            let (whole, left) = read_in_two(&bytes, bytes.len());
            let (in_two, left_of_two) = read_in_two(&bytes, cut.index(bytes.len() + 1));
            prop_assert_eq!(format!("{whole:?}"), format!("{in_two:?}"));
            if whole.is_ok() {
                prop_assert_eq!(left, left_of_two);
                if broken.is_none() {
                    prop_assert_eq!(left, after.len());
                }
            }
        }
    }
}
