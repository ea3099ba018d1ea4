//! Which addresses a request may go to: public ones, and those that the operator has opened.
//!
//! # Guarantees
//! 1. What is not known to be public is not: of IPv6 only what is handed out as global (`2000::/3`)
//!    is, without its special parts.
//! 2. An address that stands for an IPv4 address (`::ffff:10.0.0.1`, `64:ff9b::10.0.0.1`) is judged
//!    as that one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that begin alike: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first: IpAddr,
    bits: u32,
}

/// Everything of IPv4 that is not public, and what it is for.
const SPECIAL_V4: &[(Ipv4Addr, u32, &str)] = &[
    (v4(0, 0, 0, 0), 8, "an address of this machine"),
    (v4(10, 0, 0, 0), 8, PRIVATE),
    (
        v4(100, 64, 0, 0),
        10,
        "an address of a provider's own network",
    ),
    (v4(127, 0, 0, 0), 8, LOOPBACK),
    (v4(168, 63, 129, 16), 32, METADATA),
    (v4(169, 254, 169, 254), 32, METADATA),
    (v4(169, 254, 0, 0), 16, LINK_LOCAL),
    (v4(172, 16, 0, 0), 12, PRIVATE),
    (v4(192, 0, 0, 0), 24, RESERVED),
    (v4(192, 0, 2, 0), 24, DOCUMENTATION),
    (v4(192, 88, 99, 0), 24, RESERVED),
    (v4(192, 168, 0, 0), 16, PRIVATE),
    (v4(198, 18, 0, 0), 15, "an address for measurements"),
    (v4(198, 51, 100, 0), 24, DOCUMENTATION),
    (v4(203, 0, 113, 0), 24, DOCUMENTATION),
    (v4(224, 0, 0, 0), 4, MULTICAST),
    (v4(240, 0, 0, 0), 4, RESERVED),
];

/// The same of IPv6. What comes first counts.
const SPECIAL_V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "an address of this machine"),
    (Ipv6Addr::LOCALHOST, 128, LOOPBACK),
    (v6(0xfd00, 0xec2, 0x254), 128, METADATA),
    (v6(0xfc00, 0, 0), 7, PRIVATE),
    (v6(0xfe80, 0, 0), 10, LINK_LOCAL),
    (v6(0xfec0, 0, 0), 10, PRIVATE),
    (v6(0xff00, 0, 0), 8, MULTICAST),
    // Teredo is among them.
    (v6(0x2001, 0, 0), 23, RESERVED),
    (v6(0x2001, 0xdb8, 0), 32, DOCUMENTATION),
    (v6(0x2002, 0, 0), 16, "an address that leads through 6to4"),
    (v6(0x3fff, 0, 0), 20, DOCUMENTATION),
];

const GLOBAL_V6: Range = Range {
    first: IpAddr::V6(v6(0x2000, 0, 0)),
    bits: 3,
};
/// The well-known prefix of NAT64: a network without IPv4 reaches everything public through it.
const NAT64: Range = Range {
    first: IpAddr::V6(v6(0x64, 0xff9b, 0)),
    bits: 96,
};

const LOOPBACK: &str = "an address of this machine";
const PRIVATE: &str = "a private address";
const LINK_LOCAL: &str = "an address of the local link";
pub(super) const METADATA: &str = "an address at which clouds hand out credentials";
const DOCUMENTATION: &str = "an address for documentation";
const MULTICAST: &str = "an address of a group";
const RESERVED: &str = "a reserved address";

/// Why a request may not go to the address; none where it may.
#[must_use]
pub fn refusal(address: IpAddr, open: &[Range]) -> Option<&'static str> {
    let address = address.to_canonical();
    if open.iter().any(|range| range.contains(address)) {
        return None;
    }
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) if NAT64.contains(address.into()) => special_v4(last_four(address)),
        IpAddr::V6(address) => {
            let special = SPECIAL_V6.iter().find(|(first, bits, _)| {
                let (first, bits) = (IpAddr::V6(*first), *bits);
                Range { first, bits }.contains(address.into())
            });
            let is_global = GLOBAL_V6.contains(address.into());
            special
                .map(|(_, _, what)| *what)
                .or((!is_global).then_some(RESERVED))
        }
    }
}

/// What an operator opens for this address alone.
#[must_use]
pub fn range_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("{address}/32"),
        IpAddr::V6(address) => format!("{address}/128"),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let special = SPECIAL_V4.iter().find(|(first, bits, _)| {
        let (first, bits) = (IpAddr::V4(*first), *bits);
        Range { first, bits }.contains(address.into())
    });
    special.map(|(_, _, what)| *what)
}

fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// The first two groups and the last one.
const fn v6(a: u16, b: u16, last: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, last)
}

impl Range {
    /// Its first address.
    fn beginning(&self) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                Ipv4Addr::from_bits(first.to_bits() & mask).into()
            }
            IpAddr::V6(first) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                Ipv6Addr::from_bits(first.to_bits() & mask).into()
            }
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let (first, address, width) = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits().into(), address.to_bits().into(), 32)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => (first.to_bits(), address.to_bits(), 128),
            _ => return false,
        };
        let differ: u128 = first ^ address;
        // Nothing is left of 128 bits that are all shifted out.
        differ.checked_shr(width - self.bits).unwrap_or(0) == 0
    }
}

impl FromStr for Range {
    type Err = String;

    /// `10.0.0.0/8`, `fd00::/8`; an address alone is the range that holds nothing else.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "is \"{}\", and has to be a range such as \"10.1.0.0/16\"",
                text.escape_debug()
            )
        };
        let (first, bits) = match text.split_once('/') {
            Some((first, bits)) => (first, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        if first != first.to_canonical() {
            return Err(format!(
                "is \"{text}\": write it as the IPv4 range that it stands for"
            ));
        }
        let width = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > width {
            return Err(wrong());
        }
        let range = Self { first, bits };
        let begins = range.beginning();
        if begins != first {
            return Err(format!(
                "is \"{text}\", and the range that it lies in begins with {begins}: write \
                 \"{begins}/{bits}\" for that range, or \"{first}\" for this address alone"
            ));
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, open: &[&str]) -> Option<&'static str> {
        let open: Vec<Range> = open.iter().map(|range| range.parse().unwrap()).collect();
        refusal(address.parse().unwrap(), &open)
    }

    #[test]
    fn a_range_that_does_not_begin_where_it_is_written_is_refused() {
        for (text, words) in [
            (
                "10.1.2.3/8",
                "write \"10.0.0.0/8\" for that range, or \"10.1.2.3\"",
            ),
            ("fd00::1/8", "write \"fd00::/8\""),
            ("1.2.3.4/0", "write \"0.0.0.0/0\""),
        ] {
            let said = text.parse::<Range>().unwrap_err();
            assert!(said.contains(words), "{said}");
        }
        for text in [
            "10.0.0.0/8",
            "10.1.2.3",
            "10.1.2.3/32",
            "::/0",
            "0.0.0.0/0",
            "fd00::1/128",
        ] {
            assert!(text.parse::<Range>().is_ok(), "{text}");
        }
    }

    #[test]
    fn public_addresses_may_be_reached() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "169.253.255.255",
            "192.0.1.0",
            "198.17.255.255",
            "223.255.255.255",
            "2606:4700::1",
            "2001:200::1",
            "2003::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(refused(address, &[]), None, "{address}");
        }
    }

    #[test]
    fn others_may_not_in_any_spelling() {
        for (address, what) in [
            ("0.1.2.3", LOOPBACK),
            ("10.255.255.255", PRIVATE),
            ("127.255.255.254", LOOPBACK),
            ("169.254.169.254", METADATA),
            ("168.63.129.16", METADATA),
            ("169.254.0.1", LINK_LOCAL),
            ("172.16.0.0", PRIVATE),
            ("172.31.255.255", PRIVATE),
            ("203.0.113.1", DOCUMENTATION),
            ("239.255.255.255", MULTICAST),
            ("255.255.255.255", RESERVED),
            ("::", LOOPBACK),
            ("::1", LOOPBACK),
            ("::127.0.0.1", RESERVED),
            ("::ffff:169.254.169.254", METADATA),
            ("::ffff:0:10.0.0.1", RESERVED),
            ("64:ff9b::10.0.0.1", PRIVATE),
            ("64:ff9b:1::1.1.1.1", RESERVED),
            ("100::1", RESERVED),
            ("2001::1", RESERVED),
            ("2001:db8::1", DOCUMENTATION),
            ("2002:0a00:0001::1", "an address that leads through 6to4"),
            ("3fff::1", DOCUMENTATION),
            ("4000::1", RESERVED),
            ("5f00::1", RESERVED),
            ("fd00:ec2::254", METADATA),
            ("fd00::1", PRIVATE),
            ("fe80::1", LINK_LOCAL),
            ("fec0::1", PRIVATE),
            ("ff02::1", MULTICAST),
        ] {
            assert_eq!(refused(address, &[]), Some(what), "{address}");
        }
    }

    #[test]
    fn a_range_opens_what_is_within_and_nothing_else() {
        assert_eq!(refused("10.1.2.3", &["10.1.0.0/16"]), None);
        assert_eq!(refused("::ffff:10.1.2.3", &["10.1.0.0/16"]), None);
        assert!(refused("10.2.0.0", &["10.1.0.0/16"]).is_some());
        assert!(refused("64:ff9b::10.1.2.3", &["10.1.0.0/16"]).is_some());
        assert_eq!(refused("fd00::1", &["10.0.0.0/8", "fd00::/8"]), None);
        assert!(refused("fe80::1", &["fd00::/8"]).is_some());
        assert_eq!(refused("127.0.0.1", &["127.0.0.1"]), None);
        assert!(refused("127.0.0.2", &["127.0.0.1"]).is_some());
        assert_eq!(refused("127.0.0.2", &["0.0.0.0/0"]), None);
        assert!(refused("::1", &["0.0.0.0/0"]).is_some());
        assert_eq!(refused("::1", &["::/0"]), None);
    }

    #[test]
    fn ranges_that_cannot_be_meant_are_refused() {
        for text in [
            "",
            "x",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0.0/",
            "/8",
            "10.0.0/8",
            "1.1.1.1/-1",
        ] {
            assert!(
                text.parse::<Range>()
                    .unwrap_err()
                    .contains("a range such as"),
                "{text}"
            );
        }
        assert!(
            "::ffff:10.0.0.1"
                .parse::<Range>()
                .unwrap_err()
                .contains("IPv4")
        );
    }
}
