//! The addresses whose headers are believed.

use ipnet::IpNet;
use std::net::IpAddr;

/// The addresses and networks of the proxies in front of this server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

/// Why a text is no proxy to trust.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadProxy {
    #[error("{0:?} is not an address such as \"192.0.2.1\" or a network such as \"10.0.0.0/8\"")]
    Unreadable(String),
    #[error("{0:?} has bits after its prefix: write {1} for the network, or the address alone")]
    BitsAfterPrefix(String, IpNet),
    #[error("{0:?} is an IPv4 address inside IPv6: write it as IPv4")]
    Mapped(String),
    #[error("{0:?} is everybody: then each client could say who it is")]
    Everybody(String),
}

impl TrustedProxies {
    /// Reads addresses and networks.
    pub(crate) fn parse(texts: &[String]) -> Result<TrustedProxies, BadProxy> {
        texts.iter().map(|text| network(text)).collect::<Result<_, _>>().map(TrustedProxies)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is the address of a trusted proxy. `address` is without the form that maps IPv4 into IPv6.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet, BadProxy> {
    let own = || text.to_owned();
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| BadProxy::Unreadable(own()))?,
    };
    if network.addr() != network.network() {
        return Err(BadProxy::BitsAfterPrefix(own(), network.trunc()));
    }
    if network.prefix_len() == 0 {
        return Err(BadProxy::Everybody(own()));
    }
    if network.addr().to_canonical() != network.addr() {
        return Err(BadProxy::Mapped(own()));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<TrustedProxies, BadProxy> {
        TrustedProxies::parse(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_and_networks_are_trusted_and_nobody_else() {
        let trusted = parse(&["192.0.2.7", "10.0.0.0/8", "::1", "2001:db8:1::/48"]).unwrap();
        for (address, is_trusted) in [
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("::1", true),
            ("::2", false),
            ("2001:db8:1:ffff::1", true),
            ("2001:db8:2::1", false),
        ] {
            assert_eq!(trusted.contains(address.parse().unwrap()), is_trusted, "{address}");
        }
        assert!(!TrustedProxies::default().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_has_no_plain_meaning_is_refused_by_name() {
        for (text, says) in [
            ("", "is not an address"),
            ("proxy.example.com", "is not an address"),
            ("10.0.0.0/33", "is not an address"),
            ("10.0.0/8", "is not an address"),
            ("192.0.2.1:80", "is not an address"),
            ("[::1]", "is not an address"),
            ("10.0.0.1/8", "write 10.0.0.0/8 for the network"),
            ("2001:db8::1/32", "write 2001:db8::/32 for the network"),
            ("0.0.0.0/0", "is everybody"),
            ("::/0", "is everybody"),
            ("::ffff:10.0.0.1", "write it as IPv4"),
            ("::ffff:10.0.0.0/104", "write it as IPv4"),
        ] {
            let error = parse(&["127.0.0.1", text]).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
