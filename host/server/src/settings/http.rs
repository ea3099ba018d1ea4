//! The HTTP interface: where it listens, and how much it takes.

use std::net::SocketAddr;
use std::time::Duration;

use super::reader::Reader;
use super::{seconds, size};

const LISTEN: &str = "listen";
const BEHIND_PROXY: &str = "behind_proxy";

/// The HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where to listen: loopback, or anywhere behind a proxy that speaks TLS. Port 0 takes a free
    /// one.
    pub listen: SocketAddr,
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// Time for a request's head to arrive.
    pub header_timeout: Duration,
    /// Time for the next part of a request's body to arrive.
    pub body_timeout: Duration,
}

pub(super) fn http(reader: &mut Reader<'_>, has_people: bool) -> HttpSettings {
    let default = SocketAddr::from(([127, 0, 0, 1], 7700));
    let listen = reader.address(LISTEN, default);
    let behind_proxy = reader.flag(BEHIND_PROXY, false);
    if !listen.ip().is_loopback() && !(has_people && behind_proxy) {
        let problem = match has_people {
            true => open_with_people(listen),
            false => open_to_all(listen, default.port()),
        };
        reader.contradiction(LISTEN, problem);
    }
    HttpSettings {
        listen,
        connections_max: size(reader, "http.connections_max", 1024, 100_000),
        header_timeout: seconds(reader, "http.header_timeout_s", 10, 3600),
        body_timeout: seconds(reader, "http.body_timeout_s", 30, 3600),
    }
}

fn open_to_all(listen: SocketAddr, default: u16) -> String {
    let port = match listen.port() {
        0 => default,
        port => port,
    };
    format!(
        "is {listen}, and has to be a loopback address: with the embedded store this host knows no \
         users, and would let in everybody who can reach it. Listen on 127.0.0.1:{port}; from \
         another machine, go through `ssh -L {port}:127.0.0.1:{port} THIS_MACHINE`"
    )
}

fn open_with_people(listen: SocketAddr) -> String {
    format!(
        "is {listen}, where people's passwords and keys would come unencrypted: this host speaks \
         no TLS itself. Listen on loopback with a proxy before it that does, or say `{BEHIND_PROXY} \
         = true` where everything that reaches this address comes from such a proxy"
    )
}

#[cfg(test)]
mod tests {
    use super::super::{File, Flags, Mistake, Settings};

    fn read(text: &str) -> Result<(), Vec<String>> {
        let file = File {
            name: "t.toml".to_owned(),
            text: text.to_owned(),
        };
        let variable = |name: &str| match name {
            "TASKHOST_KEY" => Some("0".repeat(64)),
            "TASKHOST_ELASTICSEARCH_API_KEY" => Some("aWQ6a2V5".to_owned()),
            _ => None,
        };
        let read = Settings::read(Some(&file), &variable, Flags::default());
        read.map(drop)
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn off_loopback_a_host_listens_for_people_behind_a_proxy_alone() {
        let (open, elastic) = ("listen = \"0.0.0.0:7700\"\n", "store = \"elasticsearch\"\n");
        let proxy = "behind_proxy = true\n";
        for (text, problem) in [
            (open.to_owned(), "knows no users"),
            (format!("{open}{proxy}"), "knows no users"),
            (format!("{open}{elastic}"), "speaks no TLS itself"),
        ] {
            let said = read(&text).unwrap_err();
            assert_eq!(said.len(), 1, "{said:#?}");
            assert!(
                said[0].starts_with("t.toml:1: `listen` is 0.0.0.0:7700, "),
                "{said:?}"
            );
            assert!(said[0].contains(problem), "{said:?}");
        }
        for text in [format!("{open}{elastic}{proxy}"), elastic.to_owned()] {
            assert_eq!(read(&text), Ok(()), "{text}");
        }
    }
}
